"""Socket: the transport under a request, written to past aiohttp's own writer.

Frames are finished bytes when they come here, so that one frame serves every client. aiohttp's
flow control is used through `writing_paused` and `_drain_helper` of its protocol class, which the
pinned version has; a test of a stalled client notices if another has not.
"""

import asyncio
import socket

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from eventhub.gateway.subscriber import MAX_UNSENT_BYTES, Stalled

KEEPALIVE_IDLE_SECONDS = 60
"""Silence after which the kernel asks a peer whether it is there; it gives up after six more."""


class Socket:
    """The transport of a request, with flow control."""

    def __init__(self, request: web.Request, stalled_after: float) -> None:
        if request.transport is None:
            raise ConnectionResetError("the client is gone")
        self._transport = request.transport
        self._protocol: RequestHandler = request.protocol
        self._stalled_after = stalled_after
        self._is_shut = False
        self._transport.set_write_buffer_limits(MAX_UNSENT_BYTES)
        _keep_alive(self._transport)

    @property
    def is_full(self) -> bool:
        """More than `MAX_UNSENT_BYTES` wait for the client."""
        return self._protocol.writing_paused

    @property
    def is_closing(self) -> bool:
        """Nothing more can be written."""
        return self._is_shut or self._transport.is_closing()

    def push(self, data: bytes) -> bool:
        """See `Outlet`. The hot path: called for every frame and client."""
        if self._is_shut or self._transport.is_closing():
            return True
        self._transport.write(data)
        return not self._protocol.writing_paused

    def shut(self) -> None:
        """Write no more frames: a close frame is the last (RFC 6455 section 5.5.1)."""
        self._is_shut = True

    async def drain(self) -> None:
        """Wait until the socket is not full; see `Outlet.drain`."""
        while self._protocol.writing_paused:
            waiting = self._transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(self._stalled_after):
                    await self._protocol._drain_helper()
            except TimeoutError:
                if self._transport.get_write_buffer_size() >= waiting:
                    raise Stalled("the client takes nothing") from None

    def abort(self) -> None:
        """Close at once; what the client has not taken is lost to it."""
        self._transport.abort()

    def close_after(self, data: bytes) -> None:
        """Close once everything is taken, last of all `data`; at the latest after a while."""
        self.push(data)
        self.shut()
        self._transport.close()
        asyncio.get_running_loop().call_later(self._stalled_after, self._transport.abort)


def _keep_alive(transport: asyncio.Transport) -> None:
    """Notice a peer that vanished, without closing one that is only slow."""
    raw = transport.get_extra_info("socket")
    if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6)
