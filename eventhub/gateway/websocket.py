"""WebSocket: one client's connection. It holds the socket and the protocol, and no rules.

aiohttp does the handshake, and its reader cuts what a client sends into messages. Everything else
bypasses it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any, Self

import structlog
from aiohttp import web
from aiohttp.http_websocket import WSMsgType

from eventhub import deadlines, metrics
from eventhub.config import Server
from eventhub.delivery import frames as protocol
from eventhub.delivery.frames import Form
from eventhub.delivery.outlet import Stalled
from eventhub.errors import Close, EventHubError, Rejected, close_code_of
from eventhub.gateway.access_log import ABNORMAL
from eventhub.gateway.connection import Connection, nothing
from eventhub.gateway.incoming import Incoming
from eventhub.gateway.large import LARGE_BYTES, LargeMessages, Permit
from eventhub.gateway.turns import IsOver, Turns, Work

logger = structlog.get_logger(__name__)

NORMAL = 1000
"""The close code of a client that is done (RFC 6455 section 7.4.1)."""
MAX_REFUSED_BYTES = 64 << 10
"""Bytes that a client may still send after it was refused; then the connection is aborted."""
REFUSAL_SECONDS = 2e-4
"""Price of refusing a message: the most that it takes. Fixed, to be the same on any machine."""
PING_SECONDS = 1e-5
"""Price of answering a ping."""
READ_ON_BYTES = 4 << 10
"""Bytes that may wait for their turn while the connection is read: to stop and start reading takes
two system calls, and most connections that wait sent one small message."""
PAUSE_POLL_SECONDS = 0.05
"""Between two checks whether a paused connection may continue with an array."""


class WebSocketConnection(Connection):
    """One WebSocket; an `Outlet`. In its turn it hands what the client sends to `on_text`."""

    __slots__ = (
        "_code",
        "_early",
        "_ended",
        "_incoming",
        "_is_handed",
        "_most_bytes",
        "_permit",
        "_turn",
        "form",
        "most_begun",
        "on_binary",
        "on_end",
        "on_text",
        "on_turn",
    )

    def __init__(
        self, request: web.Request, form: Form, server: Server, turns: Turns, large: LargeMessages
    ) -> None:
        self.form = form
        self._code = ABNORMAL
        """Of the close frame that was sent."""
        self.on_text: Callable[[bytes], None] = nothing
        """Called with each text message."""
        self.on_binary: Callable[[], None] = self._refuse_binary
        """Called for each binary message."""
        self.most_begun: float = inf
        """Bytes of an unfinished message above which the connection is closed."""
        self.on_turn: Work = _no_more
        """Handles what it was given; while it returns False, nothing is read, until `wake`."""
        self.on_end: Callable[[], None] = nothing
        """Called when the client wants to close; `leave` answers it."""
        self._turn = turns.turn(self._work)
        self._incoming = Incoming(4 * server.max_message)
        self._permit = Permit(large, self._turn.request, self._on_late)
        self._is_handed = False
        """The message that has the permit is complete, and is being handled."""
        self._ended: asyncio.Event | None = None
        self._early = b""  # what came with the handshake, before its answer
        self._most_bytes: float = inf
        super().__init__(request, server.stalled_after)
        self.listen(on=False)

    @classmethod
    async def open(
        cls, request: web.Request, server: Server, turns: Turns, large: LargeMessages
    ) -> Self:
        """Shake hands. Nothing is read until `start`.

        Args:
            request: checked by `handshake`.
            server: limits.
            turns: in which all connections work off what they are sent.
            large: the large messages of all connections.
        """
        response = web.WebSocketResponse(protocols=tuple(protocol.FORMS), compress=False)
        # Otherwise `prepare` hands it to a reader of aiohttp that nothing reads.
        early, request.protocol._message_tail = request.protocol._message_tail, b""
        await response.prepare(request)
        form = protocol.FORMS.get(response.ws_protocol or "", Form.BARE)
        connection = cls(request, form, server, turns, large)
        connection._early = early
        return connection

    @property
    def outcome(self) -> dict[str, int]:
        """See `Connection.outcome`."""
        return {"status": 101, "code": int(self._code)}

    def start(self) -> None:
        """Read what the client sends."""
        self.listen(on=True)
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def discard(self) -> None:
        """Ignore what the client still sends, until it closes."""
        self.on_text, self.on_binary, self.on_turn, self.on_end = (
            nothing,
            nothing,
            _no_more,
            nothing,
        )

    def wake(self) -> None:
        """Continue: whatever `on_turn` waited for has happened."""
        self._turn.request()

    def charge(self, seconds: float) -> None:
        """Charge work that led to nothing: a client that causes much of it is paused."""
        self._turn.charge(seconds)

    async def wait_while_paused(self) -> None:
        """Wait while the connection is paused because of work that was charged."""
        while self._turn.is_paused:  # noqa: ASYNC110 - a timer ends it, or the connection's end
            await asyncio.sleep(PAUSE_POLL_SECONDS)

    def refuse(self, *frames: dict[str, Any], seconds: float = REFUSAL_SECONDS) -> None:
        """Send errors, and charge for them."""
        self.charge(seconds)
        self.send(*frames)

    def send(self, *frames: dict[str, Any]) -> None:
        """Write frames to this client alone, all at once."""
        self.push(b"".join([protocol.text_frame(protocol.encode(each)) for each in frames]))

    def ping(self) -> None:
        """Keep proxies from closing a silent connection; a full one is not silent."""
        if not self.is_full:
            self.push(protocol.PING)

    async def drain(self) -> None:
        """See `Outlet`."""
        try:
            await super().drain()
        except Stalled:
            logger.info("client_stalled")
            metrics.LIMITED.labels("stalled").inc()
            self._code = Close.STALLED
            self.close_after(protocol.close_frame(Close.STALLED))
            raise

    async def fail(self, error: EventHubError, ref: Any = None) -> None:
        """Send the client the reason, and close.

        Args:
            error: the reason.
            ref: of the message that it answers.
        """
        self._most_bytes = self._incoming.taken + MAX_REFUSED_BYTES
        self.send(protocol.refusal(error, ref))
        await self.close(close_code_of(error))

    async def close(self, code: Close) -> None:
        """Close with a code; return when the client has answered, or after a deadline."""
        self._code = code
        self.push(protocol.close_frame(code, code.name.lower()))
        self.shut()
        self._ended = self._ended or asyncio.Event()
        self.listen(on=True)
        self._turn.request()
        with suppress(TimeoutError):  # the client does not even take the close frame
            async with asyncio.timeout(deadlines.CLOSE_FRAME_SECONDS):
                await self._ended.wait()
        self.close_after(b"")

    def leave(self, code: int = NORMAL) -> None:
        """Answer the client's close frame, or end a connection that breaks the protocol."""
        self._turn.end()
        self._code = code
        self.close_after(protocol.close_frame(code))

    # --- Called by the transport ------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take what the client sent, to be handled in this connection's turn."""
        self._incoming.take(data)
        if self._incoming.taken > self._most_bytes:  # it was refused, and continues to send
            self._turn.end()
            self.abort()
            return
        self._turn.request()
        if self._turn.is_paused or self._incoming.waiting > READ_ON_BYTES:
            self.listen(on=False)

    def resume_writing(self) -> None:
        """Continue: there is room for answers."""
        super().resume_writing()
        self._turn.request()

    def _release(self) -> None:
        self._turn.end()
        self._permit.give_back()
        if self._ended is not None:
            self._ended.set()

    # --- Called in turns --------------------------------------------------------------------------

    def _work(self, is_over: IsOver) -> bool:
        """Handle what the client sent, while it takes its answers: see `Turns`."""
        incoming = self._incoming
        while True:
            if self.is_lost or (self.is_full and self._ended is None):
                return False  # it continues once there is room for answers
            if not self.on_turn(is_over):
                return is_over()
            if self._is_handed:
                self._is_handed = False
                self._permit.give_back()
            if incoming.begun >= LARGE_BYTES and not self._permit.request():
                return False
            if not self._step():
                self.listen(on=True)
                return False
            if is_over():
                return True

    def _step(self) -> bool:
        """Handle one message, or cut the next; return whether there was anything."""
        incoming = self._incoming
        if not incoming.messages and incoming.waiting and incoming.error is None:
            if seconds := incoming.cut():
                self.charge(seconds)
            if incoming.begun > self.most_begun:
                self.leave(Close.TOO_LARGE)
                return False
            if not incoming.messages and incoming.error is None:
                return True
        if (message := incoming.next()) is not None:
            is_whole = message.type in (WSMsgType.TEXT, WSMsgType.BINARY)
            self._is_handed = is_whole and len(message.data) >= LARGE_BYTES
            if self._is_handed:
                self._permit.note(len(message.data))
            self._on_message(message.type, message.data)
        elif incoming.error is not None:
            if not self.is_closing:
                self.leave(incoming.error)
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
            self.charge(PING_SECONDS)
            self.push(protocol.pong(data))
        elif kind is WSMsgType.BINARY:
            self.on_binary()
        else:
            self.charge(PING_SECONDS)

    def _refuse_binary(self) -> None:
        self.refuse(protocol.refusal(Rejected("bad_json", "send text frames, not binary ones")))

    def _on_late(self) -> None:
        """End a large message that does not come, and that others wait behind."""
        if not self._is_handed:
            self.leave(Close.STALLED)


def _no_more(_: IsOver) -> bool:
    """Report that nothing is left to do."""
    return True
