"""Frames: what a client has sent, cut into messages piece by piece by aiohttp's reader.

A transport hands over up to 256 KiB at once. Cut in one go, that is forty thousand pings.
"""

import time
from collections import deque
from typing import Any, Final

from aiohttp import WSCloseCode
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.http_websocket import WebSocketError, WebSocketReader, WSMessage, WSMsgType

from eventhub.errors import Close

PIECE_BYTES: Final = 1 << 10
"""Cut at once: 170 of the smallest frames."""
MOST_PIECE_BYTES: Final = 16 << 10
"""Cut at once within a large message."""
SMALL_PIECE_BYTES: Final = 256
SMALL_PIECE_SECONDS: Final = 5e-6
"""Price of a piece so small that completes no message: to measure it would cost as much."""
SECONDS_PER_BYTE: Final = 5e-9
"""That copying a byte of a large message may take; what cutting takes beyond, crumbs take."""
MASKED: Final = 0x80
"""In the second byte of a frame; without it a server must close (RFC 6455 section 5.1). aiohttp's
reader takes either."""
_WHOLE: Final = (WSMsgType.TEXT, WSMsgType.BINARY)
"""Pings may come within a message, and end none."""


class _Inflow(WebSocketDataQueue):
    """Collects what aiohttp's reader cuts out; bounded by who feeds it, piece by piece."""

    def __init__(self) -> None:
        super().__init__(None, 0, loop=None)  # type: ignore[arg-type] # used by what is overridden
        self.messages: deque[WSMessage] = deque()
        self.error: BaseException | None = None

    def feed_data(self, data: Any, size: int) -> None:
        """Called by the reader for each message."""
        self.messages.append(data)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Called by the reader when it cannot go on."""
        self.error = exc


class Frames:
    """The incoming side of one WebSocket. A silent client costs no reader.

    Args:
        max_bytes: of a message; above it there is an `error`.
    """

    __slots__ = ("_at", "_inflow", "_max_bytes", "_piece", "_reader", "_rest", "begun", "taken")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.taken = 0
        """Bytes, in all."""
        self.begun = 0
        """Bytes that were cut since the last message was complete: of the next one."""
        self._inflow: _Inflow | None = None
        self._reader: WebSocketReader | None = None
        self._rest = b""
        self._at = 0
        self._piece = PIECE_BYTES

    def take(self, data: bytes) -> None:
        """Take what came; nothing is done with it yet."""
        self.taken += len(data)
        self._rest = data if self._at >= len(self._rest) else self._rest[self._at :] + data
        self._at = 0

    @property
    def waiting(self) -> int:
        """Bytes that are not cut yet; `next` may have messages beside."""
        return len(self._rest) - self._at

    @property
    def error(self) -> int | None:
        """Close code, if what came makes no sense; nothing more can be cut."""
        error = None if self._inflow is None else self._inflow.error
        if error is None:
            return None
        return error.code if isinstance(error, WebSocketError) else Close.INTERNAL

    def next(self) -> WSMessage | None:
        """Return the next message that was cut out."""
        if self._inflow is None or not self._inflow.messages:
            return None
        return self._inflow.messages.popleft()

    def cut(self) -> float:
        """Cut the next piece; return the seconds that crumbs of messages took."""
        piece = self._rest[self._at : self._at + self._piece]
        if self._inflow is None or self._reader is None:
            self._inflow = _Inflow()
            self._reader = WebSocketReader(self._inflow, self._max_bytes, False, False)
            if len(piece) > 1 and not piece[1] & MASKED:  # whoever does not mask one masks none
                self._inflow.error = WebSocketError(WSCloseCode.PROTOCOL_ERROR, "not masked")
                return 0.0
        self._at += len(piece)
        is_measured = len(piece) > SMALL_PIECE_BYTES
        began = time.thread_time() if is_measured else 0.0
        self._reader.feed_data(piece)
        self.begun += len(piece)
        if self._inflow.messages:
            self._piece = PIECE_BYTES
            if any(message.type in _WHOLE for message in self._inflow.messages):
                self.begun = 0
            return 0.0
        if not is_measured:
            return SMALL_PIECE_SECONDS
        crumbs = max(0.0, time.thread_time() - began - 1e-5 - SECONDS_PER_BYTE * len(piece))
        self._piece = PIECE_BYTES if crumbs else min(2 * self._piece, MOST_PIECE_BYTES)
        return crumbs
