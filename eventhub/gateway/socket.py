"""Socket: a client's transport, taken over from aiohttp once the handshake or the headers are out.

From then on frames are finished bytes when they come here, so that one frame serves every client,
and a silent connection is a transport and this object: aiohttp's request, parser and tasks end.

It relies on `RequestHandler.transport` and `connection_lost` of the pinned aiohttp; every test of
a live connection notices if another version has them not.
"""

import asyncio
import socket
from collections.abc import Callable

from aiohttp import web

from eventhub.delivery.broadcast import Sink
from eventhub.delivery.outlet import MAX_UNSENT_BYTES, Stalled
from eventhub.gateway.server import Visitor

KEEPALIVE_IDLE_SECONDS = 60
"""Silence after which the kernel asks a peer whether it is there; it gives up after six more."""


class Socket(asyncio.Protocol):
    """A client's transport, with flow control.

    Args:
        request: answered so far that what follows is frames; whoever handles it may return.
        stalled_after: seconds after which a client that takes nothing is given up.
        on_data: told what the client sends.
        on_lost: told once that nothing more will come or go.
    """

    __slots__ = (
        "_drained",
        "_is_listening",
        "_is_shut",
        "_on_data",
        "_on_drained",
        "_on_gone",
        "_on_lost",
        "_stalled_after",
        "_transport",
        "is_full",
        "on_full",
        "sink",
    )

    def __init__(
        self,
        request: web.Request,
        stalled_after: float,
        on_data: Callable[[bytes], None],
        on_lost: Callable[[], None],
    ) -> None:
        if request.transport is None:
            raise ConnectionResetError("the client is gone")
        self._transport = request.transport
        self._stalled_after = stalled_after
        self._on_data = on_data
        self._on_lost = on_lost
        self.on_full: Callable[[], None] = _nothing
        """See `Outlet`."""
        self._on_drained: Callable[[], None] = _nothing
        self._is_listening = True
        self.sink = Sink(self._transport)
        """What all that the client is sent goes through."""
        self._is_shut = False
        self._drained: asyncio.Future[None] | None = None
        self.is_full = request.protocol.writing_paused
        """More than `MAX_UNSENT_BYTES` wait for the client."""
        self._on_gone = _take_over(request, self)
        self._transport.set_write_buffer_limits(MAX_UNSENT_BYTES)
        _keep_alive(self._transport)

    @property
    def is_closing(self) -> bool:
        """Nothing more can be written."""
        return self._is_shut or self._transport.is_closing()

    def push(self, data: bytes) -> None:
        """See `Outlet`."""
        if not (self._is_shut or self._transport.is_closing()):
            self.sink.write(data)

    def when_drained(self, call: Callable[[], None]) -> None:
        """Have it called each time that the socket is no longer full."""
        self._on_drained = call

    def listen(self, *, on: bool) -> None:
        """Read what the client sends, or let it wait."""
        if on is not self._is_listening and not self._transport.is_closing():
            self._is_listening = on
            (self._transport.resume_reading if on else self._transport.pause_reading)()

    def shut(self) -> None:
        """Write no more frames: a close frame is the last (RFC 6455 section 5.5.1)."""
        self._is_shut = True
        self.on_full()

    async def drain(self) -> None:
        """Wait until the socket is not full; see `Outlet.drain`."""
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
        """Several may wait; each is woken, and a cancelled one does not take the others along."""
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()
        drained = self._drained
        await asyncio.wait([drained])

    def abort(self) -> None:
        """Close at once; what the client has not taken is lost to it."""
        self._transport.abort()

    def close_after(self, data: bytes) -> None:
        """Close once everything is taken, last of all `data`; at the latest after a while."""
        self.push(data)
        self.shut()
        self._transport.close()
        asyncio.get_running_loop().call_later(self._stalled_after, self._transport.abort)

    # --- Called by the transport ------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Hand on what the client sent."""
        self._on_data(data)

    def pause_writing(self) -> None:
        """Note that the client is behind."""
        self.is_full = True
        self.on_full()

    def resume_writing(self) -> None:
        """Wake who waits for the client."""
        self.is_full = False
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.set_result(None)
        self._on_drained()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake who waits for the client: it is gone."""
        self.sink.leave()
        self._on_drained = _nothing
        self.resume_writing()
        self.on_full = _nothing  # else this object and a subscriber keep each other
        self._on_gone()
        self._on_lost()


def _take_over(request: web.Request, protocol: asyncio.Protocol) -> Callable[[], None]:
    """Put a protocol in aiohttp's place. What its handler returns then goes nowhere.

    Returns what is to be called when the connection is closed.
    """
    handler, transport = request.protocol, request.transport
    assert transport is not None  # noqa: S101 - `Socket` has looked
    transport.set_protocol(protocol)
    gone = handler.let_go() if isinstance(handler, Visitor) else None
    handler.transport = None  # else the next line would close it
    handler.connection_lost(None)
    return gone or _nothing


def abandon_after(transport: asyncio.BaseTransport, seconds: float) -> None:
    """Have the kernel close a connection whose peer takes nothing for so long (RFC 5482).

    For answers that are written by aiohttp, which waits for ever for a client that does not read.
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


def _nothing() -> None:
    """Nobody listens."""
