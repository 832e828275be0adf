"""Incoming: what a client has sent, cut into messages piece by piece by aiohttp's reader.

A transport hands over up to 256 KiB at once; cut in one go, that could be forty thousand pings.
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
MANY_BYTES: Final = 4 << 10
"""Cut at once where messages are not the smallest."""
FEW_IN_PIECE: Final = 16
"""Messages of a piece after which the next one may be larger."""
MAX_PIECE_BYTES: Final = 16 << 10
"""Cut at once within a large message."""
SMALL_PIECE_BYTES: Final = 256
SMALL_PIECE_SECONDS: Final = 5e-6
"""Price of a smaller piece that completes no message: measuring it would cost as much."""
SECONDS_PER_BYTE: Final = 5e-9
"""What copying a byte of a large message may take; anything above it is due to fragments."""
MASKED: Final = 0x80
"""In the second byte of a frame; without it a server must close (RFC 6455 section 5.1). aiohttp's
reader accepts both."""
_WHOLE: Final = (WSMsgType.TEXT, WSMsgType.BINARY)
"""A ping may come within a message, and ends none."""


class _Queue(WebSocketDataQueue):
    """Collects what aiohttp's reader cuts; bounded, because it is fed piece by piece."""

    def __init__(self) -> None:
        super().__init__(None, 0, loop=None)  # type: ignore[arg-type] # used by what is overridden
        self.messages: deque[WSMessage] = deque()
        self.error: BaseException | None = None

    def feed_data(self, data: Any, size: int) -> None:
        """Called by the reader for each message."""
        self.messages.append(data)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Called by the reader when it cannot continue."""
        self.error = exc


class Incoming:
    """The incoming side of one WebSocket. A silent client costs no reader.

    Args:
        max_bytes: of a message; above it there is an `error`.
    """

    __slots__ = (
        "_at",
        "_max_bytes",
        "_piece",
        "_queue",
        "_reader",
        "_rest",
        "begun",
        "error",
        "messages",
        "taken",
        "waiting",
    )

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.taken = 0
        """Bytes in all."""
        self.begun = 0
        """Bytes of the next message that were cut: since the last one was complete."""
        self.messages: deque[WSMessage] | tuple[()] = ()
        """What was cut; `next` takes it."""
        self.waiting = 0
        """Bytes that are not cut yet."""
        self.error: int | None = None
        """Close code, if the client broke the protocol; nothing more can be cut."""
        self._queue: _Queue | None = None
        self._reader: WebSocketReader | None = None
        self._rest = b""
        self._at = 0
        self._piece = PIECE_BYTES

    def take(self, data: bytes) -> None:
        """Take what was received; it is cut later."""
        self.taken += len(data)
        self._rest = self._rest[self._at :] + data if self.waiting else data
        self._at = 0
        self.waiting = len(self._rest)

    def next(self) -> WSMessage | None:
        """Return the next message that was cut."""
        return self.messages.popleft() if self.messages else None

    def cut(self) -> float:
        """Cut the next piece; return the seconds to charge for fragments of messages."""
        piece = self._rest[self._at : self._at + self._piece]
        if self._queue is None or self._reader is None:
            self._queue = _Queue()
            self.messages = self._queue.messages
            self._reader = WebSocketReader(self._queue, self._max_bytes, False, False)
            if len(piece) > 1 and not piece[1] & MASKED:  # a client masks every frame or none
                self.error = WSCloseCode.PROTOCOL_ERROR
                return 0.0
        self._at += len(piece)
        self.waiting -= len(piece)
        is_measured = len(piece) > SMALL_PIECE_BYTES
        began = time.thread_time() if is_measured else 0.0
        self._reader.feed_data(piece)
        self.begun += len(piece)
        if (error := self._queue.error) is not None:
            self.error = error.code if isinstance(error, WebSocketError) else Close.INTERNAL
        if messages := self._queue.messages:
            is_few = len(messages) <= FEW_IN_PIECE
            self._piece = min(2 * self._piece, MANY_BYTES) if is_few else PIECE_BYTES
            if messages[-1].type in _WHOLE or any(each.type in _WHOLE for each in messages):
                self.begun = 0
            return 0.0
        if not is_measured:
            return SMALL_PIECE_SECONDS
        extra = max(0.0, time.thread_time() - began - 1e-5 - SECONDS_PER_BYTE * len(piece))
        self._piece = PIECE_BYTES if extra else min(2 * self._piece, MAX_PIECE_BYTES)
        return extra
