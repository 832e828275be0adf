"""Open connection: a WebSocket or an event stream with what works for it, and how it ends."""

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count

import structlog

from eventhub import deadlines
from eventhub.delivery.subscriber import Subscriber
from eventhub.errors import Close, Rejected
from eventhub.gateway.attending import attending
from eventhub.gateway.connection_login import ConnectionLogin
from eventhub.gateway.inbox import Inbox
from eventhub.gateway.route import Route
from eventhub.gateway.sse import SseConnection
from eventhub.gateway.websocket import WebSocketConnection

logger = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class OpenConnection:
    """One open connection and what works for it."""

    route: Route
    """The endpoint as it is now, or as it was when the client was admitted in the same way."""
    connection: WebSocketConnection | SseConnection
    subscriber: Subscriber
    held: ExitStack
    """Counts its filter among those of the channel's subscribers, and its user as present."""
    login: ConnectionLogin
    inbox: Inbox | None = None
    number: int = field(default_factory=count(1).__next__)
    """Names it to operators."""
    opened: datetime = field(default_factory=partial(datetime.now, UTC))

    @property
    def channel(self) -> str:
        """The name of the channel that its client reads."""
        return self.route.channel.name

    def begin(self) -> None:
        """Count the connection, and end it when its client's login ends."""
        self.held.enter_context(attending(self.route, self.login, self.connection))

        def end(reason: Rejected) -> None:
            _ = self.route.shared.tasks.spawn(self._end(reason))

        self.login.watch(end)

    async def _end(self, reason: Rejected) -> None:
        """Send nothing more, answer what the client sent before, and close."""
        self.subscriber.stop()
        try:
            async with asyncio.timeout(deadlines.CONNECTION_SECONDS):
                if self.inbox is not None:
                    await self.inbox.empty()
                await self.connection.fail(reason)
        except TimeoutError:  # the client takes nothing, not even the close frame
            self.connection.abort()

    def follow(self, newer: Route) -> bool:
        """Go on with the endpoint of another configuration, if it admits the client as before."""
        if newer is not self.route:
            if not newer.admits_like(self.route):
                return False
            self.route = newer
            if self.inbox is not None:
                self.inbox.follow(newer)
        return True

    async def dismiss(self, code: Close = Close.RESTART) -> None:
        """Send nothing more, and close; the client connects again, if it may."""
        self.subscriber.stop()
        await self.stop(code)

    def release(self) -> None:
        """Stop what works for the connection, which has ended."""
        self.subscriber.stop()
        self.held.close()
        self.login.release()
        if self.inbox is not None:
            self.inbox.release()

    async def stop(self, code: Close = Close.RESTART) -> None:
        """Answer what was sent, and close; the client connects again."""
        try:
            async with asyncio.timeout(deadlines.CONNECTION_SECONDS):
                if self.inbox is not None:
                    await self.inbox.empty()
                await self.connection.close(code)
        except TimeoutError:  # the client takes nothing, not even the close frame
            logger.info("close_cut_short")
            self.connection.abort()
