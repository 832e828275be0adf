"""Columns: what a row holds, and how a client's JSON value becomes a column's value.

A value is converted once, when its message is accepted; the event, the row, the broadcast and
the database all carry the converted value. In Python a value is `None`, `str`, `int`, `float`
or `bool`; dates and timestamps are canonical ISO text, whose order as text is their order in
time; a JSON column holds any JSON value.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import msgspec

from eventhub.errors import Misconfigured, Rejected


class Kind(StrEnum):
    """What a column stores, as the SQL type that the projection uses."""

    TEXT = "VARCHAR"
    INTEGER = "BIGINT"
    REAL = "DOUBLE"
    BOOLEAN = "BOOLEAN"
    DATE = "DATE"
    TIMESTAMP = "TIMESTAMP"
    JSON = "JSON"


_KINDS = {
    Kind.TEXT: "TEXT VARCHAR CHAR CHARACTER NVARCHAR NCHAR STRING CLOB UUID",
    Kind.INTEGER: "INTEGER INT BIGINT SMALLINT TINYINT MEDIUMINT INT2 INT4 INT8 LONG",
    Kind.REAL: "REAL FLOAT DOUBLE NUMERIC DECIMAL FLOAT4 FLOAT8",
    Kind.BOOLEAN: "BOOLEAN BOOL",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "TIMESTAMP DATETIME TIMESTAMPTZ",
    Kind.JSON: "JSON JSONB",
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_SQL_TYPE = re.compile(
    r"\s*([A-Za-z][A-Za-z0-9]*)(?:\s+PRECISION|\s+VARYING)?\s*(?:\([\d\s,]*\))?\s*"
)

BUILT_IN = ("id", "user", "timestamp")
"""Text columns that every channel has, after the declared ones."""

INT64 = range(-(2**63), 2**63)
TRUE_WORDS = frozenset(("true", "t", "yes", "y", "on", "1"))
FALSE_WORDS = frozenset(("false", "f", "no", "n", "off", "0"))


def kind_of(sql_type: str) -> Kind:
    """Return the kind that a SQL type of the configuration means.

    Raises:
        Misconfigured: the type is not supported.
    """
    match = _SQL_TYPE.fullmatch(sql_type)
    kind = _KIND_OF.get(match[1].upper()) if match else None
    if kind is None:
        known = ", ".join(words.split()[0] for words in _KINDS.values())
        raise Misconfigured(f"unknown column type {sql_type!r}: use one of {known}")
    return kind


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a channel's table."""

    name: str
    kind: Kind = Kind.TEXT
    nullable: bool = True
    default: Any = None
    """Converted; what a POST without the column, or a row older than it, holds."""

    def convert(self, value: Any) -> Any:
        """Return a client's JSON value as this column stores it.

        Raises:
            Rejected: `bad_value`, naming the column.
        """
        if type(value) is str and self.kind is Kind.TEXT and value.isascii():
            return value  # as most are
        if value is None or (value == "" and self.kind is not Kind.TEXT):
            if not self.nullable:
                raise Rejected("bad_value", f"{self.name} must not be empty", column=self.name)
            return None
        try:
            return _CONVERTERS[self.kind](value)
        except (ValueError, OverflowError, TypeError, RecursionError) as error:
            detail = f"{self.name}: {_shown(value)} is not {_ARTICLES[self.kind]}"
            if isinstance(error, _UnfitError):
                detail += f" ({error})"
            raise Rejected("bad_value", detail, column=self.name) from None


class _UnfitError(ValueError):
    """A value of the right sort that cannot be stored; the text says why."""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise _UnfitError("not finite")
    if not isinstance(value, str | int | float):
        raise TypeError
    text = str(value)
    if not text.isascii():
        _check_unicode(text)
    return text


def _check_unicode(text: str) -> None:
    """Half a UTF-16 pair can be written in JSON, but is no text: UTF-8 cannot hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _UnfitError("half a surrogate pair") from None


def _integer(value: Any) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError
    if not isinstance(value, str | int | float):
        raise TypeError
    number = int(value)
    if number not in INT64:
        raise _UnfitError("out of range")
    return number


def _real(value: Any) -> float:
    if not isinstance(value, str | int | float):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise _UnfitError("not finite")
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if isinstance(value, str | int) and word in TRUE_WORDS:
        return True
    if isinstance(value, str | int) and word in FALSE_WORDS:
        return False
    raise ValueError


def _date(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return date.fromisoformat(value.strip()).isoformat()


def _timestamp(value: Any) -> str:
    """Canonical: UTC, no zone, microseconds only if there are any."""
    if not isinstance(value, str):
        raise TypeError
    moment = datetime.fromisoformat(value.strip())
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat()


def _json(value: Any) -> Any:
    """What Python writes as JSON that is none, and what it cannot write, is refused."""
    _check_unicode(json.dumps(value, ensure_ascii=False, allow_nan=False))
    return value


_CONVERTERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.REAL: _real,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.TIMESTAMP: _timestamp,
    Kind.JSON: _json,
}
_ARTICLES = {
    Kind.TEXT: "text",
    Kind.INTEGER: "a whole number",
    Kind.REAL: "a number",
    Kind.BOOLEAN: "true or false",
    Kind.DATE: "a date as 2023-01-02",
    Kind.TIMESTAMP: "a time as 2023-01-02T03:04:05",
    Kind.JSON: "JSON",
}


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):  # only a hook can make such a value
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


class Columns:
    """The columns of a channel in order: the declared ones, then id, user and timestamp."""

    def __init__(self, declared: Iterable[Column]) -> None:
        declared = list(declared)
        self.all = tuple(
            [column for column in declared if column.name not in BUILT_IN]
            + [Column(name) for name in BUILT_IN]
        )
        self.by_name = {column.name: column for column in self.all}
        self.names = tuple(self.by_name)
        self._empty = {column.name: column.default for column in self.all}
        self._defaults = {k: value for k, value in self._empty.items() if value is not None}
        self._required = tuple(column.name for column in self.all if not column.nullable)
        described = [(c.name, c.kind.value, c.nullable, c.default) for c in self.all]
        self.signature = blake2b(msgspec.json.encode(described), digest_size=6).hexdigest()
        """Equal only for equal columns: an event that carries it needs no lifting."""

    def __iter__(self) -> Iterator[Column]:
        return iter(self.all)

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def __getitem__(self, name: str) -> Column:
        return self.by_name[name]

    def convert(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return the message with the values of declared columns converted; others untouched.

        Raises:
            Rejected: `bad_value`, naming the first column at fault.
        """
        by_name = self.by_name
        return {
            key: by_name[key].convert(value) if key in by_name else value
            for key, value in message.items()
        }

    def with_defaults(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a POST with the defaults of columns that it does not name, for all to see."""
        missing = self._defaults.keys() - message.keys() if self._defaults else ()
        return {**message, **{key: self._defaults[key] for key in missing}} if missing else message

    def new_row(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return the row that a converted POST creates: defaults where it names no column.

        Raises:
            Rejected: `bad_value`: a column that must not be empty has neither value nor default.
        """
        row = self._empty.copy()
        row.update([item for item in message.items() if item[0] in row])
        for name in self._required:
            if row[name] is None:
                raise Rejected("bad_value", f"{name} is missing", column=name)
        return row

    def lift(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row of older columns as today's: new columns hold their default.

        A value that today's type cannot hold becomes NULL: the event keeps the original.
        """
        lifted = {}
        for column in self.all:
            value = row.get(column.name, column.default)
            try:
                lifted[column.name] = column.convert(value)
            except Rejected:
                lifted[column.name] = None
        return lifted
