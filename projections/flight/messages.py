"""Messages: the few of Flight SQL that are used here, and their encoding (Protocol Buffers).

Each message has a handful of fields, of text, bytes and whole numbers; their numbers are those of
`FlightSql.proto`. A field is read by its number, so that fields of later versions are skipped.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from eventhub.errors import Rejected

PREFIX: Final = "type.googleapis.com/arrow.flight.protocol.sql."
_VARINT, _BYTES = 0, 2
_MAX_VARINT: Final = 10
"""Bytes of the longest number."""
Value = int | str | bytes


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """What stands for a statement in tickets and prepared statements; the server keeps nothing.

    It comes back from the client, which could as well have sent another statement.
    """

    sql: str
    names: tuple[str, ...] = ()
    """Of its parameters, in the order in which they are bound."""
    values: dict[str, object] = {}
    """Of the parameters, as JSON has them."""

    def encode(self) -> bytes:
        """Return it as a handle."""
        return msgspec.msgpack.encode(self)


def statement_of(handle: bytes) -> Statement:
    """Return the statement for which a handle stands.

    Raises:
        Rejected: `bad_request`: it is none.
    """
    try:
        return msgspec.msgpack.decode(handle, type=Statement)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Rejected("bad_request", "the handle is not a statement of this hub") from None


class Fields:
    """The fields of one message."""

    def __init__(self, data: bytes) -> None:
        """Read a message.

        Raises:
            Rejected: `bad_request`: it is malformed.
        """
        self._values: dict[int, list[int | bytes]] = {}
        for number, value in _fields(data):
            self._values.setdefault(number, []).append(value)

    def raw(self, number: int) -> bytes | None:
        """Return a field of bytes; None if it is not there."""
        value = self._values.get(number, [None])[-1]
        return value if isinstance(value, bytes) else None

    def text(self, number: int) -> str | None:
        """Return a field of text; None if it is not there."""
        value = self.raw(number)
        return None if value is None else _text(value)

    def texts(self, number: int) -> list[str]:
        """Return the values of a repeated field of text."""
        return [_text(value) for value in self._values.get(number, []) if isinstance(value, bytes)]

    def flag(self, number: int) -> bool:
        """Return a field that is true or false."""
        return bool(self._values.get(number, [0])[-1])

    def numbers(self, number: int) -> list[int]:
        """Return the values of a repeated field of numbers, which are packed or not."""
        found: list[int] = []
        for value in self._values.get(number, []):
            if isinstance(value, int):
                found.append(value)
                continue
            at = 0
            while at < len(value):
                one, at = _varint(value, at)
                found.append(one)
        return found


def unpack(data: bytes) -> tuple[str, Fields]:
    """Return the name and the fields of a message that is wrapped in `google.protobuf.Any`.

    Raises:
        Rejected: `bad_request`: it is not of Flight SQL.
    """
    wrapper = Fields(data)
    url = wrapper.text(1) or ""
    if not url.startswith(PREFIX):
        raise Rejected("bad_request", "this is not a command of Flight SQL")
    return url.removeprefix(PREFIX), Fields(wrapper.raw(2) or b"")


def pack(name: str, fields: Mapping[int, Value]) -> bytes:
    """Return a message, wrapped in `google.protobuf.Any`."""
    return encode({1: PREFIX + name, 2: encode(fields)})


def encode(fields: Mapping[int, Value]) -> bytes:
    """Return a message."""
    return b"".join(_encoded(number, value) for number, value in fields.items())


def _encoded(number: int, value: Value) -> bytes:
    if isinstance(value, int):
        return _as_varint(number << 3 | _VARINT) + _as_varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _as_varint(number << 3 | _BYTES) + _as_varint(len(data)) + data


def _as_varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                value, at = _varint(data, at)
                yield key >> 3, value
                continue
            case 1:
                size = 8
            case 2:
                size, at = _varint(data, at)
            case 5:
                size = 4
            case _:
                raise _malformed()
        if at + size > len(data):
            raise _malformed()
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at an offset, and the offset behind it."""
    number = 0
    for place, byte in enumerate(data[at : at + _MAX_VARINT]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    raise _malformed()


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _malformed() from None


def _malformed() -> Rejected:
    return Rejected("bad_request", "the message is malformed")
