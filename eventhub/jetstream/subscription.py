"""Subscription: the messages of one subject, on whichever nats-py client is connected now."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import Error as NatsError

from eventhub.jetstream.parser import BatchParser, Handler, subscription_number

DRAIN_SECONDS = 5.0
"""How long a drained subscription may take: one round trip, usually 0.2 ms.

After it, messages that were on their way are lost to this process; a pause of the machine is none.
"""
LOST = (NatsError, OSError)
"""What nats-py raises when the connection is gone; its TimeoutError is one of both."""


class Peer:
    """One nats-py client, and the parser that hands on its messages."""

    def __init__(self) -> None:
        self.client = _Client()
        self.parser = BatchParser.install(self.client)


class _Client(Client):
    """Leaves its messages to the parser, and speaks TLS if its URL says so."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Take what the server says of itself, before anything is sent to it.

        nats-py goes on in plain text if that is what the server, or somebody in between, asks for.
        """
        current = self._current_server
        is_by_tls = current is not None and current.uri.scheme == "tls"
        if initial_connection and is_by_tls and not info.get("tls_required"):
            raise NatsError("the server does not ask for TLS, and its URL begins with tls://")
        await super()._process_info(info, initial_connection)

    async def _attempt_reconnect(self) -> None:
        """Try the servers until one answers.

        If a connection is lost while it comes back, nats-py ends that attempt by settling the
        future of the next one, which cannot settle it again at its own end.
        """
        with suppress(asyncio.InvalidStateError):
            await super()._attempt_reconnect()

    async def _read_loop(self) -> None:
        """Start with each new connection; its handshake is over."""
        reader = getattr(self._transport, "_io_reader", None)
        if isinstance(self._ps, BatchParser) and reader is not None:  # else it is a WebSocket
            self._ps.take_over(reader)
        await super()._read_loop()


class Subscription:
    """Messages of one subject, handed to a function that must not raise or wait.

    Args:
        subject: may have wildcards.
        on_messages: called with the messages.
        on_reconnect: called after the connection was lost; messages may be lost as well.
    """

    def __init__(
        self, subject: str, on_messages: Handler, on_reconnect: Callable[[], None]
    ) -> None:
        self.subject = subject
        self.on_reconnect = on_reconnect
        self._on_messages = on_messages
        self._inner: NatsSubscription | None = None
        self._handlers: dict[int, Handler] = {}
        self._number = 0

    async def attach(self, peer: Peer) -> None:
        """Subscribe at a client. nats-py's own queue for the subscription stays empty."""
        self._inner = await peer.client.subscribe(self.subject, cb=_never)
        self._number = subscription_number(self._inner)
        self._handlers = peer.parser.handlers
        self._handlers[self._number] = self._on_messages

    async def detach(self, *, drain: bool) -> None:
        """Unsubscribe, if the client is still connected.

        Args:
            drain: first wait for the messages that are on their way.
        """
        try:
            with suppress(*LOST):
                if self._inner is None:
                    return
                if not drain:
                    await self._inner.unsubscribe()
                    return
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._inner.drain()  # type: ignore[no-untyped-call] # nats-py
        finally:
            self._handlers.pop(self._number, None)


async def _never(_: Msg) -> None:
    """Make nats-py treat the subscription as one with a callback; the parser calls ours instead."""
