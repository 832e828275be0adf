"""Connection: a client's transport, taken over from aiohttp after the handshake or the headers.

From then on the connection is the transport's protocol. Frames come here as finished bytes, so that
one frame serves every client, and an idle connection is a transport and this object: aiohttp's
request, parser and tasks have ended (ADR-22).

It relies on `RequestHandler.transport` and `connection_lost` of the pinned aiohttp; every test of
a live connection fails if another version lacks them.
"""

import asyncio
import socket
from collections.abc import Callable

from aiohttp import web

from eventhub.delivery.broadcast import Sink
from eventhub.delivery.frames import Form
from eventhub.delivery.outlet import MAX_UNSENT_BYTES, Stalled
from eventhub.gateway.access_log import line_of
from eventhub.gateway.server import HttpConnection

KEEPALIVE_IDLE_SECONDS = 60
"""Silence after which the kernel probes whether a peer is there; it gives up after six more."""


class Connection(asyncio.Protocol):
    """One client, with flow control: what a WebSocket and an event stream have in common.

    It is the part of an `Outlet` that does not depend on the protocol. Each `on_…` attribute is
    called until the connection is lost; whoever needs the call sets it.

    Args:
        request: answered so far that only frames follow; its handler may return.
        stalled_after: seconds without progress after which a client is given up.

    Raises:
        ConnectionResetError: the client is gone.
    """

    __slots__ = (
        "_access",
        "_drained",
        "_is_listening",
        "_is_shut",
        "_on_closed",
        "_stalled_after",
        "_transport",
        "is_full",
        "is_lost",
        "on_full",
        "on_lost",
        "sink",
    )
    form: Form
    """What its frames look like."""

    def __init__(self, request: web.Request, stalled_after: float) -> None:
        if request.transport is None:
            raise ConnectionResetError("the client is gone")
        self._transport = request.transport
        self._stalled_after = stalled_after
        self._access = line_of(request)
        self._is_listening = True
        self._is_shut = False
        self._drained: asyncio.Future[None] | None = None
        self.sink = Sink(self._transport)
        """Everything that the client is sent goes through it."""
        self.on_full: Callable[[], None] = nothing
        """Called when the transport takes no more, for now or for good."""
        self.on_lost: Callable[[], None] = nothing
        """Called once, when nothing more will be sent or received."""
        self.is_lost = False
        """The connection has ended."""
        self.is_full = request.protocol.writing_paused
        """More than `MAX_UNSENT_BYTES` wait for the client."""
        self._on_closed = _take_over(request, self)
        self._transport.set_write_buffer_limits(MAX_UNSENT_BYTES)
        _keep_alive(self._transport)

    @property
    def outcome(self) -> dict[str, int]:
        """How the connection ended, for its line in the log."""
        return {"status": 200}

    @property
    def is_closing(self) -> bool:
        """Nothing more can be written."""
        return self._is_shut or self._transport.is_closing()

    def note_user(self, user: str) -> None:
        """Name the client's user in the line of the log."""
        if self._access is not None:
            self._access.note_user(user)

    def push(self, data: bytes) -> None:
        """See `Outlet`."""
        if not (self._is_shut or self._transport.is_closing()):
            self.sink.write(data)

    def listen(self, *, on: bool) -> None:
        """Read what the client sends, or leave it in the kernel's buffer."""
        if on is not self._is_listening and not self._transport.is_closing():
            self._is_listening = on
            (self._transport.resume_reading if on else self._transport.pause_reading)()

    async def drain(self) -> None:
        """Wait until the connection is not full; see `Outlet.drain`."""
        while self.is_full:
            waiting = self._transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(self._stalled_after):
                    await self._drain()
            except TimeoutError:
                if self._transport.get_write_buffer_size() >= waiting:
                    raise Stalled("the client takes nothing") from None
        if self._transport.is_closing():
            raise ConnectionResetError("the client is gone")

    async def _drain(self) -> None:
        """Wait for room; several tasks may, and a cancelled one does not take the others along."""
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()
        drained = self._drained
        await asyncio.wait([drained])

    def abort(self) -> None:
        """Close at once; the client loses whatever it has not taken."""
        self._transport.abort()

    def shut(self) -> None:
        """Write nothing more: a close frame is the last frame (RFC 6455 section 5.5.1)."""
        self._is_shut = True
        self.on_full()

    def close_after(self, data: bytes) -> None:
        """Write `data`, and close once everything is taken, within `stalled_after` seconds."""
        self.push(data)
        self.shut()
        self._transport.close()
        asyncio.get_running_loop().call_later(self._stalled_after, self._transport.abort)

    def _release(self) -> None:
        """Give back what the connection holds of what all share: it is lost."""

    # --- Called by the transport ------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Note that the client is behind."""
        self.is_full = True
        self.on_full()

    def resume_writing(self) -> None:
        """Wake everything that waits in `drain`."""
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake everything that waits, and report the end."""
        self.sink.leave()
        if self._access is not None:
            self._access.write(self._transport.get_extra_info("socket"), **self.outcome)
        self._wake()
        self.on_full = nothing  # otherwise this object and a subscriber keep each other alive
        self._on_closed()
        self._release()
        self.is_lost = True
        self.on_lost()

    def _wake(self) -> None:
        self.is_full = False
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.set_result(None)


def nothing(*_: object) -> None:
    """Do nothing: the default call-back of an event."""


def _take_over(request: web.Request, protocol: asyncio.Protocol) -> Callable[[], None]:
    """Put a protocol in the place of aiohttp's; what its handler returns then goes nowhere.

    Returns what must be called when the connection is closed.
    """
    handler, transport = request.protocol, request.transport
    assert transport is not None  # noqa: S101 - `Connection` has checked
    transport.set_protocol(protocol)
    on_closed = handler.hand_on() if isinstance(handler, HttpConnection) else None
    handler.transport = None  # otherwise the next line would close it
    handler.connection_lost(None)
    return on_closed or nothing


def abandon_after(transport: asyncio.BaseTransport, seconds: float) -> None:
    """Make the kernel close a connection whose peer takes nothing for a time (RFC 5482).

    It is for answers written by aiohttp, which waits forever for a client that does not read.
    """
    if (raw := _tcp_socket(transport)) is not None:
        milliseconds = min(int(1000 * seconds), 2**31 - 1)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def _tcp_socket(transport: asyncio.BaseTransport) -> socket.socket | None:
    raw: socket.socket | None = transport.get_extra_info("socket")
    return raw if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6) else None


def _keep_alive(transport: asyncio.Transport) -> None:
    """Notice a peer that vanished, without closing one that is only slow."""
    if (raw := _tcp_socket(transport)) is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6)
