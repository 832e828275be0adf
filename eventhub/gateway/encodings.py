"""Encodings: rows as the text of an answer: JSON, NDJSON or CSV."""

import csv
import io
import re
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
SPREADSHEET = "csv for a spreadsheet"
"""What pages call CSV that is safe there."""
_SEPARATOR = b",\n"
MEDIA_TYPES = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "text/csv": "csv",
    "text/html": "html",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/vnd.apache.parquet": "parquet",
}
"""What a client names in `Accept`, and the value of `_format`."""
_QUALITY = re.compile(r";\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)", re.IGNORECASE)


def accepted_format(accept: str) -> str | None:
    """Return the format that an `Accept` header prefers (RFC 9110 section 12.5.1).

    None if a wildcard comes first, or nothing that is known: then the endpoint decides.
    """
    best, best_quality = None, 0.0
    for text in accept.split(","):
        name, _, parameters = text.partition(";")
        found = _QUALITY.search(f";{parameters}")
        quality = float(found[1]) if found else 1.0
        name = name.strip().lower()
        if quality > best_quality and (name in MEDIA_TYPES or name in ("*/*", "application/*")):
            best, best_quality = MEDIA_TYPES.get(name), quality
    return best


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
