"""Frames: the bytes on the wire. Four forms of the same frames; pure functions.

- bare WebSocket: one JSON object in each text frame, as Gramex sent it; the only control frame is
  `_error`;
- `eventhub.v1.json`: with `_seq`, `_resume`, `_ready`, `_ack`, `_tick`, `_auth`;
- SSE (WHATWG HTML, server-sent events): the v1 frames, with the position as `id:`;
- the answer to a poll: the v1 frames of events, one in each line, without control frames.

A frame is encoded once, and the same bytes are written to every connection that gets it
(RFC 6455 section 5.1: frames of a server are not masked).
"""

import struct
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec

from eventhub.errors import EventHubError
from eventhub.event import Position
from eventhub.snapshots import Render

SUBPROTOCOL = "eventhub.v1.json"
_ENCODE = msgspec.json.Encoder().encode
PING = b"\x89\x00"
"""An empty ping (RFC 6455 section 5.5.2)."""
SSE_PING = b":\n\n"
"""A comment, which keeps proxies from closing a silent stream."""


class Form(Enum):
    """How frames travel to a client."""

    BARE = "bare"
    V1 = "v1"
    SSE = "sse"
    POLL = "poll"

    @property
    def sequenced(self) -> bool:
        """Whether frames carry `_seq`."""
        return self is not Form.BARE

    @property
    def controlled(self) -> bool:
        """Whether control frames are sent."""
        return self in (Form.V1, Form.SSE)


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


def rows(form: Form) -> Render:
    """Return a function from replayed rows, complete frames as JSON, to the bytes of a form."""
    return {Form.SSE: _sse_events, Form.POLL: _lines}.get(form, _text_frames)


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
