"""Connection: one WebSocket or one SSE stream. Holds the socket, and no rules.

aiohttp does what it is good at: the handshake, reading, closing. Frames go past it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog
from aiohttp import WSMsgType, web

from eventhub.config import Server
from eventhub.errors import Close, EventHubError, Rejected
from eventhub.gateway import protocol
from eventhub.gateway.protocol import Form
from eventhub.gateway.socket import Socket
from eventhub.gateway.subscriber import Stalled

log = structlog.get_logger()

CLOSE_SECONDS = 5.0
"""How long a client may take to answer a close frame."""
_CLOSE_OF = {401: Close.UNAUTHORIZED, 403: Close.FORBIDDEN, 500: Close.INTERNAL}


def close_code_of(error: EventHubError) -> Close:
    """Return the close code of a connection that cannot be opened or go on."""
    if error.http_status >= 500:
        return Close.RESTART if error.as_dict()["retry"] else Close.INTERNAL
    return _CLOSE_OF.get(error.http_status, Close.BAD_REQUEST)


class Connection:
    """What a WebSocket and an SSE stream have in common: an `Outlet`, once it is open."""

    def __init__(self, request: web.Request, server: Server) -> None:
        self._request = request
        self._server = server
        self._socket: Socket | None = None

    @property
    def _out(self) -> Socket:
        if self._socket is None:
            raise RuntimeError("not open")
        return self._socket

    @property
    def is_full(self) -> bool:
        """See `Outlet`."""
        return self._out.is_full

    @property
    def is_closing(self) -> bool:
        """See `Outlet`."""
        return self._out.is_closing

    @property
    def push(self) -> Callable[[bytes], bool]:
        """See `Outlet`."""
        return self._out.push

    def abort(self) -> None:
        """End it at once: the client did not take its goodbye."""
        self._out.abort()


class WebSocketConnection(Connection):
    """One WebSocket. Reads messages one after the other; what is written may come from anywhere."""

    def __init__(self, request: web.Request, server: Server) -> None:
        super().__init__(request, server)
        self._ws = web.WebSocketResponse(
            protocols=(protocol.SUBPROTOCOL,),
            max_msg_size=4 * server.max_message,
            compress=False,
            decode_text=False,
            autoclose=False,
            timeout=CLOSE_SECONDS,
        )
        self._is_busy = False
        self._stopping: Close | None = None

    async def open(self) -> None:
        """Shake hands."""
        await self._ws.prepare(self._request)
        self._socket = Socket(self._request, self._server.stalled_after)

    @property
    def response(self) -> web.WebSocketResponse:
        """What the request's handler returns."""
        return self._ws

    @property
    def form(self) -> Form:
        """The form that the client asked for, once open."""
        return Form.V1 if self._ws.ws_protocol == protocol.SUBPROTOCOL else Form.BARE

    def tell(self, frame: dict[str, Any]) -> None:
        """Write one frame to this client alone."""
        self.push(protocol.text_frame(protocol.encode(frame)))

    def ping(self) -> None:
        """Keep proxies from closing a silent connection; a full one is not silent."""
        if not self.is_full:
            self.push(protocol.PING)

    async def drain(self) -> None:
        """See `Outlet`."""
        try:
            await self._out.drain()
        except Stalled:
            log.info("client_stalled", remote=self._request.remote)
            code = int(Close.STALLED)
            self._out.close_after(b"\x88\x02" + code.to_bytes(2, "big"))
            raise

    async def fail(self, error: EventHubError) -> None:
        """Tell the client why, and close."""
        self.tell(protocol.refusal(error))
        await self.close(close_code_of(error))

    async def close(self, code: Close) -> None:
        """Close with a code; returns when the client has answered, at the latest in 5 s."""
        self._out.shut()
        with suppress(TimeoutError):  # it takes nothing, not even this: aiohttp ends it
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._ws.close(code=code, message=code.name.lower().encode())

    async def stop(self, code: Close) -> None:
        """Close when the message that is being written is answered."""
        self._stopping = code
        if not self._is_busy:
            await self.close(code)

    async def serve(self, receive: Callable[[bytes], Awaitable[None]]) -> None:
        """Hand every text frame to `receive`, one at a time, until the connection ends."""
        async for message in self._ws:
            if message.type is WSMsgType.CLOSE:
                self._out.shut()
                await self._ws.close()
                break
            self._is_busy = True
            try:
                await self._serve(message.type, message.data, receive)
                await self.drain()
            except ConnectionError:
                break
            finally:
                self._is_busy = False
            if self._stopping is not None:
                await self.close(self._stopping)

    async def _serve(
        self, kind: WSMsgType, data: bytes, receive: Callable[[bytes], Awaitable[None]]
    ) -> None:
        if kind is not WSMsgType.TEXT:
            error = Rejected("bad_json", "send text frames, not binary ones")
            self.tell(protocol.refusal(error))
        elif len(data) > self._server.max_message:
            self.tell(protocol.refusal(too_large(self._server)))
        else:
            await receive(data)


def too_large(server: Server) -> Rejected:
    """Return the error of a message above the limit."""
    return Rejected("too_large", f"a message has at most {server.max_message} bytes")


class SseConnection(Connection):
    """One stream of server-sent events. The client can only listen."""

    form = Form.SSE

    def __init__(self, request: web.Request, server: Server, headers: dict[str, str]) -> None:
        super().__init__(request, server)
        self._response = web.StreamResponse(
            headers={
                **headers,
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        self._closed = asyncio.Event()

    async def open(self) -> None:
        """Send the headers. Chunks are framed by us: one encoding serves all streams."""
        self._response.enable_chunked_encoding()
        await self._response.prepare(self._request)
        await self._response.write(b":\n\n")  # aiohttp sends headers with the first bytes
        self._socket = Socket(self._request, self._server.stalled_after)

    @property
    def response(self) -> web.StreamResponse:
        """What the request's handler returns."""
        return self._response

    @property
    def is_closing(self) -> bool:
        """See `Outlet`."""
        return self._closed.is_set() or self._out.is_closing

    def ping(self) -> None:
        """Keep proxies from closing a silent stream."""
        if not self.is_full:
            self.push(protocol.SSE_PING)

    async def drain(self) -> None:
        """See `Outlet`; a stalled stream just ends: SSE has no close codes."""
        try:
            await self._out.drain()
        except Stalled:
            self._out.close_after(b"")
            self._closed.set()
            raise

    async def fail(self, error: EventHubError) -> None:
        """Tell the client why, and end the stream."""
        self.push(protocol.sse_event(protocol.encode(protocol.refusal(error)), None))
        self._closed.set()

    async def stop(self, code: Close) -> None:
        """End the stream; the browser connects again and resumes."""
        self._closed.set()

    async def serve(self) -> None:
        """Wait until the stream is ended, or the client is found to have left.

        aiohttp tells a handler of that only by cancelling it, and then would cancel writes too.
        """
        while not self.is_closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._server.heartbeat):
                    await self._closed.wait()
