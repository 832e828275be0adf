"""Frames: the bytes on the wire. Five forms of the same frames; pure functions.

- bare WebSocket: one JSON object in each text frame, as Gramex sent it; the only control frame is
  `_error`;
- `eventhub.v1.json`: with `_seq`, `_resume`, `_ready`, `_ack`, `_tick`, `_auth`;
- `eventhub.v2.json`: the v1 frames of rows and events in arrays, of any number of subscriptions;
- SSE (WHATWG HTML, server-sent events): the v1 frames, with the position as `id:`;
- the answer to a poll: the v1 frames of events, one in each line, without control frames.

A frame is encoded once, and the same bytes are written to every connection that gets it
(RFC 6455 section 5.1: frames of a server are not masked).
"""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache, partial
from typing import Any, Final

import msgspec

from eventhub.errors import EventHubError
from eventhub.event import Position
from eventhub.snapshots import Render, RowHead

SUBPROTOCOL: Final = "eventhub.v1.json"
ARRAYS_SUBPROTOCOL: Final = "eventhub.v2.json"
MAX_ARRAY_BYTES: Final = 64 << 10
"""Of the rows or events in one frame; one that is larger has a frame of its own."""
_ENCODE = msgspec.json.Encoder().encode
PING = b"\x89\x00"
"""An empty ping (RFC 6455 section 5.5.2)."""
SSE_PING = b":\n\n"
"""A comment, which keeps proxies from closing a silent stream."""


class Form(Enum):
    """How frames travel to a client."""

    BARE = "bare"
    V1 = "v1"
    V2 = "v2"
    SSE = "sse"
    POLL = "poll"

    @property
    def sequenced(self) -> bool:
        """Whether frames carry `_seq`."""
        return self is not Form.BARE

    @property
    def controlled(self) -> bool:
        """Whether control frames are sent."""
        return self in (Form.V1, Form.V2, Form.SSE)

    @property
    def row_head(self) -> RowHead:
        """What precedes the columns of a replayed row."""
        if self is Form.V2:
            return RowHead.PLACED
        return RowHead.SEQUENCED if self.sequenced else RowHead.NONE


FORMS: Final = {SUBPROTOCOL: Form.V1, ARRAYS_SUBPROTOCOL: Form.V2}
"""By subprotocol; a WebSocket without one is bare."""


def text_frame(payload: bytes) -> bytes:
    """Return a final, unmasked text frame (RFC 6455 section 5.2)."""
    return _head(len(payload)) + payload


@lru_cache(maxsize=4096)
def _head(size: int) -> bytes:
    """Return what precedes a payload; rows of one table have few different lengths."""
    if size < 126:
        return bytes((0x81, size))
    if size < 65536:
        return struct.pack("!BBH", 0x81, 126, size)
    return struct.pack("!BBQ", 0x81, 127, size)


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame (RFC 6455 section 5.5.1)."""
    body = code.to_bytes(2, "big") + reason.encode()
    return bytes((0x88, len(body))) + body


def pong(payload: bytes) -> bytes:
    """Return the answer to a ping (RFC 6455 section 5.5.3)."""
    return bytes((0x8A, len(payload))) + payload


def sse_event(payload: bytes, position: Position | None) -> bytes:
    """Return one event of a stream."""
    head = b"" if position is None else b"id: %s\n" % str(position).encode()
    return b"%sdata: %s\n\n" % (head, payload)


def wire(form: Form, payload: bytes, position: Position | None) -> bytes:
    """Return a frame's JSON as the bytes of its form; only SSE carries the position."""
    if form is Form.SSE:
        return sse_event(payload, position)
    if form is Form.POLL:
        return payload + b"\n"
    return text_frame(payload)


def encode(frame: dict[str, Any]) -> bytes:
    """Return a frame as JSON."""
    return _ENCODE(frame)


def of_subscription(number: int, frame: dict[str, Any]) -> dict[str, Any]:
    """Return a frame of one subscription; 0 is the only one of its socket, and has no number."""
    return {"_sub": number, **frame} if number else frame


def rows(form: Form, number: int = 0) -> Render:
    """Return a function from replayed rows, each as JSON, to the bytes of a form.

    Args:
        form: of the bytes.
        number: of the subscription.
    """
    if form is Form.V2:
        return partial(_arrays, _array_head(number, b"_rows"))
    return {Form.SSE: _sse_events, Form.POLL: _lines}.get(form, _text_frames)


def events(form: Form, payloads: Sequence[tuple[bytes, Position]], number: int = 0) -> bytes:
    """Return events, each as JSON with its position, as the bytes of a form.

    Args:
        form: of the bytes.
        payloads: in order.
        number: of the subscription.
    """
    if form is Form.V2:
        return _arrays(_array_head(number, b"_changes"), [payload for payload, _ in payloads])
    return b"".join([wire(form, payload, position) for payload, position in payloads])


def sent(form: Form, payloads: list[bytes], number: int = 0) -> bytes:
    """Return messages that are not stored, each as JSON, as the bytes of a form; as `events`."""
    if form is Form.V2:
        return _arrays(_array_head(number, b"_sent"), payloads)
    return b"".join([wire(form, payload, None) for payload in payloads])


def whole(form: Form, data: bytes) -> int:
    """Return the length of the whole frames at the beginning of bytes of a form."""
    if form is Form.SSE:
        return data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
    if form is Form.POLL:
        return data.rfind(b"\n") + 1
    at, size = 0, len(data)
    while True:
        start, kind = at, data[at + 1] if at + 2 <= size else 0
        if kind < 126:
            at += 2 + kind
        elif kind == 126:
            at += 4 + int.from_bytes(data[at + 2 : at + 4])
        else:
            at += 10 + int.from_bytes(data[at + 2 : at + 10])
        if at >= size:
            return at if at == size else start


def _array_head(number: int, name: bytes) -> bytes:
    return b'{"_sub":%d,"%b":[' % (number, name) if number else b'{"%b":[' % name


def _arrays(head: bytes, payloads: list[bytes]) -> bytes:
    """Return text frames with arrays of at most `MAX_ARRAY_BYTES`, but at least one element."""
    frames: list[bytes] = []
    start = size = 0
    for at, payload in enumerate(payloads):
        if size and size + len(payload) > MAX_ARRAY_BYTES:
            frames.append(text_frame(b"%b%b]}" % (head, b",".join(payloads[start:at]))))
            start, size = at, 0
        size += len(payload) + 1
    if size:
        frames.append(text_frame(b"%b%b]}" % (head, b",".join(payloads[start:]))))
    return b"".join(frames)


def _text_frames(payloads: list[bytes]) -> bytes:
    return b"".join([part for payload in payloads for part in (_head(len(payload)), payload)])


def _sse_events(payloads: list[bytes]) -> bytes:
    return b"".join([sse_event(payload, None) for payload in payloads])


def _lines(payloads: list[bytes]) -> bytes:
    return b"".join([payload + b"\n" for payload in payloads])


def ready(position: Position, *, recovered: bool) -> dict[str, Any]:
    """Return the frame that ends the replay: what follows is live."""
    return {"_ready": {"position": str(position), "recovered": recovered}}


def resume(*, recovered: bool, reason: str) -> dict[str, Any]:
    """Return the answer to `_since`: what follows is what was missed, or the whole state."""
    return {"_resume": {"recovered": recovered, "reason": reason}}


def tick(position: Position) -> dict[str, Any]:
    """Return the frame of a silence: the client has everything up to a position."""
    return {"_tick": str(position)}


def login_required() -> dict[str, Any]:
    """Return the question for a token: the first frame to a client that may still bring one."""
    return {"_auth": "required"}


def expiring(at: float) -> dict[str, Any]:
    """Return the warning that the client's login is about to end, at a Unix time."""
    return {"_auth": "expiring", "expires": _time(at)}


def logged_in(expires_at: float | None, *, is_first: bool) -> dict[str, Any]:
    """Return the answer to a token.

    Args:
        expires_at: Unix time; None if the login does not end.
        is_first: the client had no login before.
    """
    expires = None if expires_at is None else _time(expires_at)
    return {"_auth": "accepted" if is_first else "renewed", "expires": expires}


def _time(at: float) -> str:
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    return text.replace("+00:00", "Z")


def ack(ref: Any, receipt: dict[str, object]) -> dict[str, Any]:
    """Return the receipt of a durable write."""
    return {"_ack": ref, **receipt}


def refusal(error: EventHubError, ref: Any = None) -> dict[str, Any]:
    """Return the error of a refused message or connection."""
    return {"_error": error.as_dict(ref)}
