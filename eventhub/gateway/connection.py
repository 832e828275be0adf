"""Connection: one WebSocket or one SSE stream. Holds the socket, and no rules.

aiohttp shakes hands; its reader cuts what a client sends into messages. All else goes past it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_websocket import WSMsgType

from eventhub.config import Server
from eventhub.delivery import frames as protocol
from eventhub.delivery.broadcast import Sink
from eventhub.delivery.frames import Form
from eventhub.delivery.outlet import Stalled
from eventhub.errors import Close, EventHubError, Expired, Rejected
from eventhub.gateway.incoming import Frames
from eventhub.gateway.large import LARGE_BYTES, Large, Ticket
from eventhub.gateway.socket import Socket
from eventhub.gateway.turns import IsOver, Turns, Work

logger = structlog.get_logger(__name__)

CLOSE_SECONDS = 5.0
"""How long a client may take to answer a close frame."""
NORMAL = 1000
"""The close code of a client that is done (RFC 6455 section 7.4.1)."""
MAX_REFUSED_BYTES = 64 << 10
"""That a client may go on to send when it was told that it is not let in."""
MAX_LISTENER_BYTES = 64 << 10
"""That a client of a stream may send, which has nothing to say."""
REFUSAL_SECONDS = 2e-4
"""Of work, at the most, to refuse a message. An estimate, so that it is the same on any machine."""
REST_SECONDS = 0.05
"""Between two looks whether a connection may go on with an array."""
PING_SECONDS = 1e-5
"""Of work to answer a ping."""
_CLOSE_OF = {401: Close.UNAUTHORIZED, 403: Close.FORBIDDEN, 429: Close.TRY_LATER}


def close_code_of(error: EventHubError) -> Close:
    """Return the close code of a connection that cannot be opened or go on."""
    if isinstance(error, Expired):
        return Close.EXPIRED
    if error.code == "slow_reader":
        return Close.TOO_SLOW
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
    def sink(self) -> Sink:
        """See `Outlet`."""
        return self._out.sink

    def push(self, data: bytes) -> None:
        """See `Outlet`."""
        self._out.push(data)

    @property
    def on_full(self) -> Callable[[], None]:
        """See `Outlet`."""
        return self._out.on_full

    @on_full.setter
    def on_full(self, call: Callable[[], None]) -> None:
        self._out.on_full = call

    def abort(self) -> None:
        """End it at once: the client did not take its goodbye."""
        self._out.abort()

    def _on_lost(self) -> None:
        self.is_lost = True
        self.on_lost()


class WebSocketConnection(Connection):
    """One WebSocket. What the client sends is told to `on_text` and `on_end`, in its turn."""

    __slots__ = (
        "_ended",
        "_frames",
        "_is_handed",
        "_most_bytes",
        "_place",
        "_ticket",
        "form",
        "on_end",
        "on_text",
        "on_turn",
    )

    def __init__(self, turns: Turns, large: Large) -> None:
        super().__init__()
        self.form = Form.BARE
        """What the client asked for, once open."""
        self.on_text: Callable[[bytes], None] = _nothing
        """Given each text message, while listening."""
        self.on_turn: Work = _no_more
        """Works off what it was given; while there is more, nothing is read."""
        self.on_end: Callable[[], None] = _nothing
        """Called when the client wants to close; `close` answers it."""
        self._place = turns.place(self._work)
        self._frames = Frames()
        self._ticket = Ticket(large, self._place.enter, self._on_late)
        self._is_handed = False
        """The message that had the ticket is complete, and is being worked off."""
        self._ended: asyncio.Event | None = None
        self._most_bytes: float = inf

    async def open(self, request: web.Request, server: Server) -> None:
        """Shake hands. Nothing is read until `listen`."""
        response = web.WebSocketResponse(protocols=(protocol.SUBPROTOCOL,), compress=False)
        await response.prepare(request)
        if response.ws_protocol == protocol.SUBPROTOCOL:
            self.form = Form.V1
        self._frames.max_bytes = 4 * server.max_message
        self._socket = Socket(request, server.stalled_after, self._on_data, self._on_lost)
        self._socket.listen(on=False)
        self._socket.when_drained(self._place.enter)

    def start(self) -> None:
        """Read what the client sends."""
        self._out.listen(on=True)

    def wake(self) -> None:
        """Go on: what `on_turn` waited for is there."""
        self._place.enter()

    def waste(self, seconds: float) -> None:
        """Note work that led to nothing: who makes much of it is read from more slowly."""
        self._place.waste(seconds)

    async def rest(self) -> None:
        """Wait as long as this connection has to, for the work that it made for nothing."""
        while self._place.is_held:  # noqa: ASYNC110 - a timer ends it, or the connection's end
            await asyncio.sleep(REST_SECONDS)

    def refuse(self, *frames: dict[str, Any], seconds: float = REFUSAL_SECONDS) -> None:
        """Tell the client what was wrong, and make it wait if it goes on like this."""
        self.waste(seconds)
        self.tell(*frames)

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
            logger.info("client_stalled")
            self._out.close_after(protocol.close_frame(Close.STALLED))
            raise

    async def fail(self, error: EventHubError) -> None:
        """Tell the client why, and close."""
        self._most_bytes = self._frames.taken + MAX_REFUSED_BYTES
        self.tell(protocol.refusal(error))
        await self.close(close_code_of(error))

    async def close(self, code: Close) -> None:
        """Close with a code; returns when the client has answered, at the latest in 5 s."""
        self._out.push(protocol.close_frame(code, code.name.lower()))
        self._out.shut()
        self._ended = self._ended or asyncio.Event()
        self._out.listen(on=True)
        self._place.enter()
        with suppress(TimeoutError):  # it takes nothing, not even this
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._ended.wait()
        self._out.close_after(b"")

    def leave(self, code: int = NORMAL) -> None:
        """Answer the client's close frame, or end a conversation that makes no sense."""
        self._place.leave()
        self._out.close_after(protocol.close_frame(code))

    def _on_data(self, data: bytes) -> None:
        self._frames.take(data)
        if self._frames.taken > self._most_bytes:  # it was told, and does not listen
            self._place.leave()
            self.abort()
            return
        self._place.enter()
        if self._frames.waiting or self._place.is_held:
            self._out.listen(on=False)

    def _work(self, is_over: IsOver) -> bool:
        """Work off what the client sent, while it takes its answers: see `Turns`."""
        out = self._out
        while not is_over():
            if self.is_lost or (out.is_full and self._ended is None):
                return False  # it goes on once there is room for answers
            if not self.on_turn(is_over):
                return is_over()
            if self._is_handed:
                self._is_handed = False
                self._ticket.give_back()
            if self._frames.begun >= LARGE_BYTES and not self._ticket.ask():
                return False
            if not self._step():
                out.listen(on=True)
                return False
        return True

    def _step(self) -> bool:
        """Handle one message, or cut the next out; tell whether there was anything."""
        frames = self._frames
        message = frames.next()
        if message is None and frames.waiting and frames.error is None:
            if crumbs := frames.cut():
                self.waste(crumbs)
            message = frames.next()
            if message is None and frames.error is None:
                return True
        if message is not None:
            is_whole = message.type in (WSMsgType.TEXT, WSMsgType.BINARY)
            self._is_handed = is_whole and len(message.data) >= LARGE_BYTES
            if self._is_handed:
                self._ticket.note(len(message.data))
            self._on_message(message.type, message.data)
        elif frames.error is not None:
            if not self.is_closing:
                self.leave(frames.error)
            return False
        else:
            return False
        return True

    def _on_message(self, kind: WSMsgType, data: bytes) -> None:
        if kind is WSMsgType.TEXT:
            self.on_text(data)
        elif kind is WSMsgType.CLOSE:
            if self._ended is not None:
                self._ended.set()
            else:
                self.on_end()
        elif kind is WSMsgType.PING:
            self.waste(PING_SECONDS)
            self._out.push(protocol.pong(data))
        elif kind is WSMsgType.BINARY:
            self.refuse(protocol.refusal(Rejected("bad_json", "send text frames, not binary ones")))
        else:
            self.waste(PING_SECONDS)

    def _on_late(self) -> None:
        """Others wait for the place of a large message that does not come."""
        if not self._is_handed:
            self.leave(Close.STALLED)

    def _on_lost(self) -> None:
        self._place.leave()
        self._ticket.give_back()
        if self._ended is not None:
            self._ended.set()
        super()._on_lost()


class SseConnection(Connection):
    """One stream of server-sent events. The client can only listen."""

    __slots__ = ("_taken",)
    form = Form.SSE

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0

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
        self._socket = Socket(request, server.stalled_after, self._on_data, self._on_lost)

    def _on_data(self, data: bytes) -> None:
        self._taken += len(data)
        if self._taken > MAX_LISTENER_BYTES:
            self.abort()

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


def _no_more(_: IsOver) -> bool:
    """Nobody was given anything."""
    return True
