"""Encodings: rows as the text of an answer: JSON, NDJSON or CSV."""

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from eventhub.snapshots import Render


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """One way to write rows with certain columns."""

    name: str
    """Equal for encodings that give equal bytes for equal rows."""
    content_type: str
    before: bytes = b""
    render: Render
    cut: int = 0
    """Bytes to leave out of the first row: the separator between it and none."""
    after: bytes = b""


MakeEncoding = Callable[[tuple[str, ...]], Encoding]
"""Returns the encoding of rows with these columns."""
_SEPARATOR = b",\n"


def json_array(_columns: tuple[str, ...]) -> Encoding:
    """Return one JSON array of objects."""
    return Encoding(
        name="json",
        content_type="application/json",
        before=b"[",
        render=lambda rows: _SEPARATOR + _SEPARATOR.join(rows),
        cut=len(_SEPARATOR),
        after=b"]",
    )


def ndjson(_columns: tuple[str, ...]) -> Encoding:
    """Return one JSON object a line."""
    return Encoding(
        name="ndjson",
        content_type="application/x-ndjson",
        render=lambda rows: b"\n".join([*rows, b""]),
    )


def plain_csv(columns: tuple[str, ...]) -> Encoding:
    """Return CSV (RFC 4180) with a header line; NULL is empty."""
    return _csv("csv", columns, _value)


def safe_csv(columns: tuple[str, ...]) -> Encoding:
    """Return CSV that is safe in a spreadsheet: text that may be a formula is prefixed with `'`."""
    return _csv("safe csv", [_inert(name) for name in columns], _inert_value, keys=columns)


def _csv(
    name: str,
    header: Iterable[str],
    value_of: Callable[[msgspec.Raw], str | None],
    keys: tuple[str, ...] = (),
) -> Encoding:
    header = tuple(header)
    columns = keys or header

    def render(rows: list[bytes]) -> bytes:
        decoded = map(_RAW_DECODER.decode, rows)
        return _lines([value_of(row[column]) for column in columns] for row in decoded)

    return Encoding(name=name, content_type="text/csv", before=_lines([header]), render=render)


_RAW_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Characters that begin a formula in a spreadsheet, or that it ignores before one."""


def _value(value: msgspec.Raw) -> str | None:
    """Return text as it is, and other values as their JSON: a number keeps all of its digits."""
    text = bytes(value)
    if text.startswith(b'"'):
        found: str = msgspec.json.decode(text)
        return found
    return None if text == b"null" else text.decode()


def _inert_value(value: msgspec.Raw) -> str | None:
    """Return text that a spreadsheet does not run; a negative number stays a number."""
    text = _value(value)
    return _inert(text) if text is not None and bytes(value).startswith(b'"') else text


def _inert(text: str) -> str:
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


TEXT_FORMATS: dict[str, MakeEncoding] = {
    "json": json_array,
    "ndjson": ndjson,
    "csv": plain_csv,
    "safe csv": safe_csv,
}
