"""SSE: one stream of server-sent events (WHATWG HTML). The client can only listen.

The answer ends with its connection, and has neither a length nor chunks: proxies that speak
HTTP/1.0 to the hub, as nginx does by default, understand it as any other client does.
"""

import secrets
from typing import Any, Self

from aiohttp import web

from eventhub import metrics
from eventhub.config import Server
from eventhub.delivery import frames as protocol
from eventhub.delivery.frames import Form
from eventhub.delivery.outlet import Stalled
from eventhub.errors import Close, EventHubError
from eventhub.gateway.connection import Connection

MAX_UNASKED_BYTES = 64 << 10
"""Bytes that a client may send, although it has nothing to send, before it is disconnected."""
_RETRY_MILLISECONDS = range(1000, 4000)
"""From these a client gets its pause before it connects again. They differ, so that the clients of
a hub that restarts do not all come back at the same moment."""


class _Stream(web.StreamResponse):
    """An answer that aiohttp does not cut into chunks."""

    _length_check = False


class SseConnection(Connection):
    """One stream of server-sent events; an `Outlet`."""

    __slots__ = ("_unasked",)
    form = Form.SSE

    def __init__(self, request: web.Request, stalled_after: float) -> None:
        super().__init__(request, stalled_after)
        self._unasked = 0

    @classmethod
    async def open(cls, request: web.Request, server: Server, headers: dict[str, str]) -> Self:
        """Send the headers, and after how many milliseconds to connect again."""
        response = _Stream(
            headers={
                **headers,
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        response.force_close()
        await response.prepare(request)
        pause = secrets.choice(_RETRY_MILLISECONDS)
        await response.write(b"retry: %d\n\n" % pause)  # aiohttp sends the headers with it
        return cls(request, server.stalled_after)

    def send(self, *frames: dict[str, Any]) -> None:
        """Write frames to this client alone."""
        self.push(b"".join([protocol.sse_event(protocol.encode(each), None) for each in frames]))

    def ping(self) -> None:
        """Keep proxies from closing a silent stream."""
        if not self.is_full:
            self.push(protocol.SSE_PING)

    async def drain(self) -> None:
        """See `Outlet`; a stalled stream just ends, because SSE has no close codes."""
        try:
            await super().drain()
        except Stalled:
            metrics.LIMITED.labels("stalled").inc()
            self.close_after(b"")
            raise

    async def fail(self, error: EventHubError) -> None:
        """Send the client the reason, and end the stream."""
        self.send(protocol.refusal(error))
        self.close_after(b"")

    async def close(self, _: Close) -> None:
        """End the stream; the browser connects again and resumes."""
        self.close_after(b"")

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        self._unasked += len(data)
        if self._unasked > MAX_UNASKED_BYTES:
            self.abort()
