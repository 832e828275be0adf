"""Event: an accepted message. It is immutable, one JetStream message, and complete in itself.

A payload holds the row after the event and the old values of what changed, so that a filter can
decide on both without any state, and an audit needs no join (ADR-1). It is one JSON object whose
last member is the CRC-32 of everything before it: a flipped bit is found, and not served.
"""

import zlib
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, Self

import msgspec

from eventhub.columns import Columns
from eventhub.errors import Damaged
from eventhub.methods import Method

VERSION = 1
POSITION_HEADER = "EventHub-Position"
"""Header of an HTTP answer with rows: the position that `_since` continues from."""


LONG_TEXT: Final = 1 << 10
"""Characters above which a text of the row is stored once, not in the message as well."""
LOADED = "i"
"""What the id of a write begins with if it was imported, not sent: it is never alerted."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One accepted message in its stored form."""

    version: int = VERSION
    method: Method
    id: str
    time: str
    """When it was accepted: UTC, ISO 8601 with microseconds and `Z`."""
    endpoint: str
    """Name of the endpoint that accepted it, whose alert fires."""
    columns: str
    """`Columns.signature` of the row."""
    write: str
    """Id of the write, the `Nats-Msg-Id`: equal for every retry of one message.

    `k...` is derived from the client's idempotency key, `w...` is random, `i...` of an import."""
    user: str | None = None
    """Id of the logged-in user who sent it."""
    created: int = 0
    """Sequence of the POST that created the row; 0 in that POST itself."""
    message: dict[str, Any]
    """The message with defaults, `prepare` and conversion done, without controls."""
    broadcast: dict[str, Any] | None = None
    """The message after `modify`, if that changed it."""
    row: dict[str, Any] | None = None
    """The row after the event: all columns, in order; None for DELETE."""
    was: dict[str, Any] | None = None
    """Old values of the columns that changed; the whole row for DELETE; None for POST."""
    rest: dict[str, Any] | None = None
    """Values that were stored in the row and that these columns cannot hold: those of other columns
    and types, which a process with another configuration may know (ADR-67)."""
    asked: str = ""
    """Digest of the message as it came, equal only for a retry; only keyed writes have one."""
    alert: bool = True
    """False if the sender wants no alert (`_alert: false`)."""
    shared: tuple[str, ...] = ()
    """Of the payload alone: keys of the message whose values are those of the row (ADR-106)."""

    @property
    def before(self) -> dict[str, Any] | None:
        """The row before this event, or None if there was none."""
        if self.was is None or self.row is None:
            return self.was
        return {**self.row, **self.was}

    @property
    def outgoing(self) -> dict[str, Any]:
        """The message that subscribers and alerts get."""
        return self.message if self.broadcast is None else self.broadcast


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Event)
_CRC = b',"crc":"%08x"}'
_CRC_LENGTH = len(_CRC % 0)
_COLUMNS = b'"columns":"'
_SHARED = b'"shared":['


def encode(event: Event) -> bytes:
    """Return the payload of an event, sealed with its CRC."""
    if event.row is not None and (shared := _long_texts(event.message, event.row)):
        message = {**event.message, **dict.fromkeys(shared)}
        event = msgspec.structs.replace(event, message=message, shared=shared)
    return _sealed(event)


def _sealed(event: Event) -> bytes:
    text = _ENCODER.encode(event)
    body = memoryview(text)[:-1]  # a slice of bytes would copy a megabyte, and so would a sum
    return b"".join((body, _CRC % zlib.crc32(body)))


def _long_texts(message: dict[str, Any], row: dict[str, Any]) -> tuple[str, ...]:
    """Return the keys of the long texts that a message and its row have in common."""
    found: tuple[str, ...] = ()
    for key, value in message.items():
        if type(value) is str and len(value) > LONG_TEXT and row.get(key) == value:
            found = (*found, key)
    return found


def decode(payload: bytes, columns: Columns) -> Event:
    """Return the event of a payload, its rows lifted to today's columns.

    Raises:
        Damaged: the checksum is wrong, or it is not an event.
    """
    return _decode(current(payload, columns))


def current(payload: bytes, columns: Columns) -> bytes:
    """Return a payload with today's columns: itself, unless it was written with other columns.

    Only this function decides that. A payload with today's columns is not decoded.

    Raises:
        Damaged: the checksum is wrong, or it has other columns and is not an event.
    """
    if not payload.endswith(_CRC % zlib.crc32(memoryview(payload)[:-_CRC_LENGTH])):
        raise Damaged("the checksum of an event is wrong")
    # The first match is the member itself: in the texts before it every quote is escaped.
    if payload.startswith(columns.signature.encode(), payload.find(_COLUMNS) + len(_COLUMNS)):
        return payload
    return encode(_lift(_decode(payload), columns))


def _decode(payload: bytes) -> Event:
    try:
        event = _DECODER.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"not an event: {error}") from error
    if event.shared:
        row = event.row or {}
        for key in event.shared:  # the values are put in the places of their keys
            event.message[key] = row.get(key)
        msgspec.structs.force_setattr(event, "shared", ())
    return event


def plain(payload: bytes) -> bytes:
    """Return a payload whose message has all its values, for a reader that does not decode it.

    Raises:
        Damaged: it is not an event.
    """
    if len(payload) <= LONG_TEXT or _SHARED not in payload:  # the member, or a text that says so
        return payload
    return _sealed(_decode(payload))


def _lift(event: Event, columns: Columns) -> Event:
    before, after = _whole(event.before, event), _whole(event.row, event)
    row = None if after is None else columns.lift(after)
    old = None if before is None else columns.lift(before)
    rest = columns.not_held(after or before or {}, row or old or {})
    if old is not None and row is not None:
        old = {key: value for key, value in old.items() if value != row[key]}
    return msgspec.structs.replace(
        event, row=row, was=old, rest=rest or None, columns=columns.signature
    )


def _whole(row: dict[str, Any] | None, event: Event) -> dict[str, Any] | None:
    """Return a row of an event with the values that the event's columns do not hold."""
    return row if row is None or event.rest is None else {**row, **event.rest}


_UNKNOWN: Any = object()


class Sealed(Protocol):
    """An event that can be projected."""

    @property
    def sequence(self) -> int:
        """Place in the stream."""

    @property
    def payload(self) -> bytes:
        """With today's columns."""


class SealedEvent(msgspec.Struct, frozen=True, gc=False):
    """The payload of an event that was not decoded, and its place in the stream."""

    sequence: int
    payload: bytes
    """Its checksum is right, and its row has today's columns."""

    @classmethod
    def read(cls, sequence: int, payload: bytes, columns: Columns) -> Self:
        """Return the event at a sequence; errors as `current`."""
        return cls(sequence, current(payload, columns))


@dataclass(slots=True)
class StoredEvent:
    """An event and its place in the stream; immutable."""

    sequence: int
    event: Event
    payload: bytes = field(default=b"", repr=False, compare=False)
    """The bytes that the event was decoded from, as in `SealedEvent`; empty if it was not read."""
    _before: dict[str, Any] | None = field(default=_UNKNOWN, init=False, repr=False, compare=False)

    @classmethod
    def read(cls, sequence: int, payload: bytes, columns: Columns) -> Self:
        """Return the event at a sequence; errors as `decode`."""
        payload = current(payload, columns)
        return cls(sequence, _decode(payload), payload)

    @property
    def size(self) -> int:
        """Bytes of the payload; bounds of memory count these."""
        return len(self.payload)

    @property
    def created(self) -> int:
        """Sequence of the event that created the row: the order of rows."""
        return self.event.created or self.sequence

    @property
    def before(self) -> dict[str, Any] | None:
        """The row before the event; made once, because every filter asks for it."""
        if self._before is _UNKNOWN:
            self._before = self.event.before
        return self._before


class Position(NamedTuple):
    """The position of a reader: `<epoch>.<sequence>`, comparable only within one epoch."""

    epoch: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Return the position in a text that `str` made.

        Raises:
            ValueError: the text is not a position.
        """
        epoch, dot, sequence = text.rpartition(".")
        if not (dot and epoch and epoch.isalnum() and sequence.isascii() and sequence.isdigit()):
            raise ValueError(f"{text!r} is not a position")
        return cls(epoch, int(sequence))
