"""Open connection: a WebSocket or an event stream with what works for it, and how it ends."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import structlog

from eventhub import deadlines
from eventhub.delivery.subscriber import Subscriber
from eventhub.errors import Close, Rejected
from eventhub.gateway.attending import attending
from eventhub.gateway.connection_login import ConnectionLogin
from eventhub.gateway.dispatcher import EndpointDispatcher
from eventhub.gateway.inbox import Inbox
from eventhub.gateway.route import Route, Shared
from eventhub.gateway.sse import SseConnection
from eventhub.gateway.subscription import NUMBERS, OpenReading
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
    dispatcher: EndpointDispatcher | None = None
    number: int = field(default_factory=NUMBERS.__next__)
    """Names it to operators."""
    opened: datetime = field(default_factory=partial(datetime.now, UTC))

    @property
    def shared(self) -> Shared:
        """What all connections share."""
        return self.route.shared

    @property
    def readings(self) -> list[OpenReading]:
        """What operators see of it."""
        return [
            OpenReading(
                self.number,
                self.route,
                self.login.visit,
                self.login.address,
                self.connection.form,
                self.opened,
                self.subscriber.behind,
            )
        ]

    def begin(self) -> None:
        """Count the connection, and end it when its client's login ends."""
        self.held.enter_context(attending(self.route, self.login, self.connection, self.connection))

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

    def reads(self, channel: str) -> bool:
        """Return whether it reads a channel."""
        return self.route.channel.name == channel

    def go_on(self, routes: Mapping[str, Route]) -> bool:
        """Go on with the endpoints of another configuration, or close."""
        newer = routes.get(self.route.endpoint.name)
        if newer is not None and self.follow(newer):
            return True
        _ = self.route.shared.tasks.spawn(self.dismiss())
        return False

    def follow(self, newer: Route) -> bool:
        """Go on with the endpoint of another configuration, if it admits the client as before."""
        if newer is not self.route:
            if not newer.admits_like(self.route):
                return False
            self.route = newer
            if self.dispatcher is not None:
                self.dispatcher.follow(newer)
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
