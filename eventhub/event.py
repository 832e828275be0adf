"""Event: what was accepted. Immutable; one JetStream message; needs nothing else to be understood.

A payload carries the row after and the old values of what changed, so a filter can be decided on
both without any state, and an audit needs no join (ADR-1). It is one JSON object whose last
member is the CRC-32 of everything before it: what a disk or a wire flips is found, not served.
"""

import zlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, Self

import msgspec

from eventhub.columns import Columns
from eventhub.errors import Damaged
from eventhub.methods import Method

VERSION = 1
POSITION_HEADER = "EventHub-Position"
"""Of an HTTP answer with rows: what `_since` continues from."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One accepted message, as it is stored."""

    version: int = VERSION
    method: Method
    id: str
    time: str
    """When it was accepted: UTC, ISO 8601 with microseconds and `Z`."""
    endpoint: str
    """Name of the endpoint that accepted it: its alert is the one that fires."""
    columns: str
    """`Columns.signature` of the row."""
    write: str
    """Id of the write, the `Nats-Msg-Id`: equal for every retry of one message.

    `k...` is derived from the client's idempotency key, `w...` is random, `i...` is of a load."""
    user: str | None = None
    """Who sent it: the id of the logged-in user."""
    created: int = 0
    """Sequence of the POST that created the row; 0 in that POST itself."""
    message: dict[str, Any]
    """The message with defaults, `prepare` and conversion done, without controls."""
    broadcast: dict[str, Any] | None = None
    """What `modify` made of the message, where that differs."""
    row: dict[str, Any] | None = None
    """The row after; None for DELETE. All columns, in order."""
    was: dict[str, Any] | None = None
    """Old values of the columns that changed; the whole row for DELETE; None for POST."""
    asked: str = ""
    """What equals only for a retry: a digest of the message as it came; of keyed writes alone."""
    alert: bool = True
    """False where the sender asked for no alert (`_alert: false`)."""

    @property
    def before(self) -> dict[str, Any] | None:
        """The row before this event, or None if there was none."""
        if self.was is None or self.row is None:
            return self.was
        return {**self.row, **self.was}

    @property
    def outgoing(self) -> dict[str, Any]:
        """The message as it is broadcast and alerted."""
        return self.message if self.broadcast is None else self.broadcast


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Event)
_CRC = b',"crc":"%08x"}'
_CRC_LENGTH = len(_CRC % 0)
_COLUMNS = b'"columns":"'


def encode(event: Event) -> bytes:
    """Return the payload of an event, sealed with its CRC."""
    body = _ENCODER.encode(event)[:-1]
    return body + _CRC % zlib.crc32(body)


def decode(payload: bytes, columns: Columns) -> Event:
    """Return the event of a payload, its rows lifted to today's columns.

    Raises:
        Damaged: the CRC does not hold, or it is not an event.
    """
    return _decode(current(payload, columns))


def current(payload: bytes, columns: Columns) -> bytes:
    """Return a payload under today's columns: itself, unless it was written under others.

    This is the one place that decides it. It does not decode a payload that is of today.

    Raises:
        Damaged: the CRC does not hold, or it is of other columns and not an event.
    """
    if not payload.endswith(_CRC % zlib.crc32(payload[:-_CRC_LENGTH])):
        raise Damaged("the CRC of an event does not hold")
    # The first is the member: in the texts before it every quote is escaped.
    if payload.startswith(columns.signature.encode(), payload.find(_COLUMNS) + len(_COLUMNS)):
        return payload
    return encode(_lift(_decode(payload), columns))


def _decode(payload: bytes) -> Event:
    try:
        return _DECODER.decode(payload)
    except msgspec.DecodeError as error:
        raise Damaged(f"not an event: {error}") from error


def _lift(event: Event, columns: Columns) -> Event:
    before, row = event.before, event.row
    after = None if row is None else columns.lift(row)
    old = None if before is None else columns.lift(before)
    if old is not None and after is not None:
        old = {key: value for key, value in old.items() if value != after[key]}
    return msgspec.structs.replace(event, row=after, was=old, columns=columns.signature)


_UNKNOWN: Any = object()


class Sealed(Protocol):
    """What can be projected."""

    @property
    def sequence(self) -> int:
        """Place in the stream."""

    @property
    def payload(self) -> bytes:
        """Of today's columns."""


class SealedEvent(msgspec.Struct, frozen=True, gc=False):
    """The payload of an event, not decoded, and its place in the stream."""

    sequence: int
    payload: bytes
    """Its CRC holds, and its row is of today's columns."""

    @classmethod
    def read(cls, sequence: int, payload: bytes, columns: Columns) -> Self:
        """Return what is stored at a sequence; errors as `current`."""
        return cls(sequence, current(payload, columns))


@dataclass(slots=True)
class StoredEvent:
    """An event and its place in the stream. Nothing of it changes."""

    sequence: int
    event: Event
    payload: bytes = field(default=b"", repr=False, compare=False)
    """What the event was decoded from, as in `SealedEvent`; empty if it was not read."""
    _before: dict[str, Any] | None = field(default=_UNKNOWN, init=False, repr=False, compare=False)

    @classmethod
    def read(cls, sequence: int, payload: bytes, columns: Columns) -> Self:
        """Return what is stored at a sequence; errors as `decode`."""
        payload = current(payload, columns)
        return cls(sequence, _decode(payload), payload)

    @property
    def size(self) -> int:
        """Bytes of the payload: what bounds of memory are counted in."""
        return len(self.payload)

    @property
    def created(self) -> int:
        """Sequence of the event that created the row: the order of rows."""
        return self.event.created or self.sequence

    @property
    def before(self) -> dict[str, Any] | None:
        """The row before; made once, for every filter asks for it."""
        if self._before is _UNKNOWN:
            self._before = self.event.before
        return self._before


class Position(NamedTuple):
    """How far a reader has read: `<epoch>.<sequence>`, comparable only within one epoch."""

    epoch: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Return the position that `str` wrote.

        Raises:
            ValueError: the text is not a position.
        """
        epoch, dot, sequence = text.rpartition(".")
        if not (dot and epoch and epoch.isalnum() and sequence.isascii() and sequence.isdigit()):
            raise ValueError(f"{text!r} is not a position")
        return cls(epoch, int(sequence))
