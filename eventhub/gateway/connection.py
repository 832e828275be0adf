"""Connection: one WebSocket or one SSE stream. Holds the socket, and no rules.

aiohttp shakes hands; its reader cuts what a client sends into messages. All else goes past it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from aiohttp import WSCloseCode, web
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.http_websocket import WebSocketError, WebSocketReader, WSMessage, WSMsgType

from eventhub.config import Server
from eventhub.errors import Close, EventHubError, Rejected
from eventhub.gateway import protocol
from eventhub.gateway.broadcast import Line
from eventhub.gateway.protocol import Form
from eventhub.gateway.socket import Socket
from eventhub.gateway.subscriber import Stalled

log = structlog.get_logger()

CLOSE_SECONDS = 5.0
"""How long a client may take to answer a close frame."""
NORMAL = 1000
"""The close code of a client that is done (RFC 6455 section 7.4.1)."""
MASKED = 0x80
"""In the second byte of a frame; without it a server must close (RFC 6455 section 5.1). aiohttp's
reader takes either."""
_CLOSE_OF = {401: Close.UNAUTHORIZED, 403: Close.FORBIDDEN, 500: Close.INTERNAL}


def close_code_of(error: EventHubError) -> Close:
    """Return the close code of a connection that cannot be opened or go on."""
    if error.http_status >= 500:
        return Close.RESTART if error.as_dict()["retry"] else Close.INTERNAL
    return _CLOSE_OF.get(error.http_status, Close.BAD_REQUEST)


class Connection:
    """What a WebSocket and an SSE stream have in common: an `Outlet`, once it is open."""

    __slots__ = ("_socket", "is_lost", "on_lost")

    def __init__(self) -> None:
        self._socket: Socket | None = None
        self.on_lost: Callable[[], None] = _nothing
        """Called when nothing more will come or go."""
        self.is_lost = False
        """It was called."""

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
    def line(self) -> Line:
        """See `Outlet`."""
        return self._out.line

    def push(self, data: bytes) -> None:
        """See `Outlet`."""
        self._out.push(data)

    def when_full(self, call: Callable[[], None]) -> None:
        """See `Outlet`."""
        self._out.when_full(call)

    def abort(self) -> None:
        """End it at once: the client did not take its goodbye."""
        self._out.abort()

    def _on_lost(self) -> None:
        self.is_lost = True
        self.on_lost()


class _Inflow(WebSocketDataQueue):
    """Collects what aiohttp's reader cuts out; bounded by who feeds it, piece by piece."""

    def __init__(self) -> None:
        super().__init__(None, 0, loop=None)  # type: ignore[arg-type] # used by what is overridden
        self.messages: list[WSMessage] = []
        self.error: BaseException | None = None

    def feed_data(self, data: Any, size: int) -> None:
        """Called by the reader for each message."""
        self.messages.append(data)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Called by the reader when it cannot go on."""
        self.error = exc


class WebSocketConnection(Connection):
    """One WebSocket. What the client sends is told to `on_text` and `on_end`."""

    __slots__ = ("_ended", "_inflow", "_max_bytes", "_reader", "form", "on_end", "on_text")

    def __init__(self) -> None:
        super().__init__()
        self.form = Form.BARE
        """What the client asked for, once open."""
        self.on_text: Callable[[bytes], None] = _nothing
        """Given each text message, while listening."""
        self.on_end: Callable[[], None] = _nothing
        """Called when the client wants to close; `close` answers it."""
        self._max_bytes = 0
        self._inflow: _Inflow | None = None
        self._reader: WebSocketReader | None = None
        self._ended: asyncio.Event | None = None

    async def open(self, request: web.Request, server: Server) -> None:
        """Shake hands. Nothing is read until `listen`."""
        response = web.WebSocketResponse(protocols=(protocol.SUBPROTOCOL,), compress=False)
        await response.prepare(request)
        if response.ws_protocol == protocol.SUBPROTOCOL:
            self.form = Form.V1
        self._max_bytes = 4 * server.max_message
        self._socket = Socket(request, server.stalled_after, self._on_data, self._on_lost)
        self.listen(on=False)

    def listen(self, *, on: bool) -> None:
        """Read what the client sends, or let it wait."""
        self._out.listen(on=on)

    def tell(self, *frames: dict[str, Any]) -> None:
        """Write frames to this client alone, all at once."""
        self._out.push(b"".join([protocol.text_frame(protocol.encode(each)) for each in frames]))

    def ping(self) -> None:
        """Keep proxies from closing a silent connection; a full one is not silent."""
        if not self.is_full:
            self._out.push(protocol.PING)

    async def drain(self) -> None:
        """See `Outlet`."""
        try:
            await self._out.drain()
        except Stalled:
            log.info("client_stalled")
            self._out.close_after(protocol.close_frame(Close.STALLED))
            raise

    async def fail(self, error: EventHubError) -> None:
        """Tell the client why, and close."""
        self.tell(protocol.refusal(error))
        await self.close(close_code_of(error))

    async def close(self, code: Close) -> None:
        """Close with a code; returns when the client has answered, at the latest in 5 s."""
        self._out.push(protocol.close_frame(code, code.name.lower()))
        self._out.shut()
        self._ended = self._ended or asyncio.Event()
        self.listen(on=True)
        with suppress(TimeoutError):  # it takes nothing, not even this
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._ended.wait()
        self._out.close_after(b"")

    def leave(self, code: int = NORMAL) -> None:
        """Answer the client's close frame, or end a conversation that makes no sense."""
        self._out.close_after(protocol.close_frame(code))

    def _on_data(self, data: bytes) -> None:
        """Cut out the messages. Who is silent costs no reader: it is made for the first byte."""
        if self._inflow is None or self._reader is None:
            if len(data) > 1 and not data[1] & MASKED:  # whoever does not mask one masks none
                self.leave(WSCloseCode.PROTOCOL_ERROR)
                return
            self._inflow = _Inflow()
            self._reader = WebSocketReader(self._inflow, self._max_bytes, False, False)
        self._reader.feed_data(data)
        messages, self._inflow.messages = self._inflow.messages, []
        for message in messages:
            self._on_message(message.type, message.data)
        if (error := self._inflow.error) is not None and not self.is_closing:
            self.leave(error.code if isinstance(error, WebSocketError) else Close.INTERNAL)

    def _on_message(self, kind: WSMsgType, data: bytes) -> None:
        if kind is WSMsgType.TEXT:
            self.on_text(data)
        elif kind is WSMsgType.PING:
            if not self.is_full:  # who floods and reads nothing is not answered
                self._out.push(protocol.pong(data))
        elif kind is WSMsgType.CLOSE:
            if self._ended is not None:
                self._ended.set()
            else:
                self.on_end()
        elif kind is WSMsgType.BINARY:
            self.tell(protocol.refusal(Rejected("bad_json", "send text frames, not binary ones")))

    def _on_lost(self) -> None:
        if self._ended is not None:
            self._ended.set()
        super()._on_lost()


class SseConnection(Connection):
    """One stream of server-sent events. The client can only listen."""

    __slots__ = ()
    form = Form.SSE

    async def open(self, request: web.Request, server: Server, headers: dict[str, str]) -> None:
        """Send the headers. Chunks are framed by us: one encoding serves all streams."""
        response = web.StreamResponse(
            headers={
                **headers,
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b":\n\n")  # aiohttp sends headers with the first bytes
        self._socket = Socket(request, server.stalled_after, _nothing, self._on_lost)

    def ping(self) -> None:
        """Keep proxies from closing a silent stream."""
        if not self.is_full:
            self._out.push(protocol.SSE_PING)

    async def drain(self) -> None:
        """See `Outlet`; a stalled stream just ends: SSE has no close codes."""
        try:
            await self._out.drain()
        except Stalled:
            self._out.close_after(protocol.SSE_END)
            raise

    async def fail(self, error: EventHubError) -> None:
        """Tell the client why, and end the stream."""
        self._out.push(protocol.sse_event(protocol.encode(protocol.refusal(error)), None))
        await self.close(close_code_of(error))

    async def close(self, _: Close) -> None:
        """End the stream; the browser connects again and resumes."""
        self._out.close_after(protocol.SSE_END)


def too_large(server: Server) -> Rejected:
    """Return the error of a message above the limit."""
    return Rejected("too_large", f"a message has at most {server.max_message} bytes")


def _nothing(*_: object) -> None:
    """Nobody listens."""
