"""Columns: what a row holds, and how the JSON value of a client becomes the value of a column.

A value is converted once, when its message is accepted. The event, the row, the broadcast and the
database all hold the converted value; `values` describes it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
import structlog

from eventhub.columns import lift, times, values
from eventhub.columns.kinds import TYPES, Digits, Kind, digits_of, kind_of
from eventhub.columns.numbers import INT64
from eventhub.columns.spelling import Spelling
from eventhub.errors import Rejected

__all__ = (
    "BUILT_IN",
    "INT64",
    "STAMP",
    "TYPES",
    "Column",
    "Columns",
    "Digits",
    "Kind",
    "Spelling",
    "digits_of",
    "hook_stamp",
    "kind_of",
    "stamp",
)

logger = structlog.get_logger(__name__)

BUILT_IN = ("id", "user", "timestamp")
"""Text columns of every channel, after the declared ones."""
MAX_PARTS = 100
"""Different parts of a table's columns that are kept for readers."""
STAMP = "timestamp"
"""The built-in column with the time, as text."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a channel's table."""

    name: str
    kind: Kind = Kind.TEXT
    nullable: bool = True
    digits: Digits | None = None
    """Only for a DECIMAL."""
    default: Any = None
    """The converted value for a POST without the column, and for rows older than the column."""

    def __post_init__(self) -> None:
        if self.kind is Kind.DECIMAL and self.digits is None:
            object.__setattr__(self, "digits", Digits())

    @property
    def sql_type(self) -> str:
        """The SQL type in the projection."""
        if self.digits is None:
            return self.kind.value
        return f"{self.kind.value}({self.digits.precision},{self.digits.scale})"

    def convert(self, value: Any) -> Any:
        """Return the JSON value of a client as this column stores it.

        Raises:
            Rejected: `bad_value`, naming the column.
        """
        if value is None or (value == "" and self.kind is not Kind.TEXT):
            if not self.nullable:
                raise Rejected("bad_value", f"{self.name} must not be empty", column=self.name)
            return None
        try:
            if self.digits is not None:
                return values.decimal(value, self.digits)
            return values.CONVERTERS[self.kind](value)
        except (ValueError, OverflowError, TypeError, RecursionError) as error:
            detail = f"{self.name}: {values.excerpt(value)} is not {values.MEANINGS[self.kind]}"
            if isinstance(error, values.UnfitError):
                detail += f" ({error})"
            raise Rejected("bad_value", detail, column=self.name) from None

    def lift(self, value: Any) -> Any:
        """Return a value of an older type as this column stores it.

        Raises:
            ValueError, TypeError, OverflowError: the cast is not lossless.
        """
        if value is None or (value == "" and self.kind is not Kind.TEXT):
            return None
        return lift.cast(value, self.kind, self.digits)


def stamp(value: Any) -> str:
    """Return the `timestamp` of a client in its stored form: UTC, without a zone.

    Raises:
        Rejected: `bad_value`: the value is not a time.
    """
    try:
        return values.timestamp(value)
    except (ValueError, OverflowError, TypeError):
        raise _bad_stamp(value) from None


def hook_stamp(value: Any) -> Any:
    """Return the `timestamp` that a hook has set; text is not changed.

    Raises:
        Rejected: `bad_value`: it is neither NULL, nor a time, nor the beginning of one.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        return stamp(value)
    try:
        times.beginning(value)
    except (ValueError, OverflowError):
        raise _bad_stamp(value) from None
    return value


def _bad_stamp(value: Any) -> Rejected:
    message = f"{STAMP}: {values.excerpt(value)} is not {values.MEANINGS[Kind.TIMESTAMP]}"
    return Rejected("bad_value", message, column=STAMP)


class Columns:
    """The columns of a channel in order: the declared ones, then id, user and timestamp."""

    def __init__(self, declared: Iterable[Column], built_in: Iterable[str] = BUILT_IN) -> None:
        """Put the columns in order.

        Args:
            declared: in the configuration; a built-in one may be among them.
            built_in: which of the built-in columns there are.
        """
        declared = list(declared)
        self.all = tuple(
            [column for column in declared if column.name not in BUILT_IN]
            + [Column(name) for name in built_in]
        )
        self.by_name = {column.name: column for column in self.all}
        self.names = tuple(self.by_name)
        self._texts = frozenset(column.name for column in self.all if column.kind is Kind.TEXT)
        self._integers = frozenset(c.name for c in self.all if c.kind is Kind.INTEGER)
        self._nullable = frozenset(column.name for column in self.all if column.nullable)
        self.are_declared = bool(declared)
        """Whether the configuration declares columns."""
        self._empty = {column.name: column.default for column in self.all}
        self._defaults = {k: value for k, value in self._empty.items() if value is not None}
        self._required = tuple(column.name for column in self.all if not column.nullable)
        self.spelling = Spelling(frozenset(c.name for c in self.all if c.digits is not None))
        """How rows are sent; an endpoint may add to it."""
        self.lost: Counter[str] = Counter()
        """Number of values that `lift` made NULL, by column, counted for each read of an event."""
        described = [(c.name, c.sql_type, c.nullable, c.default) for c in self.all]
        self._parts: dict[frozenset[str], Columns] = {}
        """What `without` has returned."""
        self.signature = blake2b(msgspec.json.encode(described), digest_size=6).hexdigest()
        """Equal only for equal columns: an event with this signature needs no lifting."""

    def __iter__(self) -> Iterator[Column]:
        return iter(self.all)

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def __getitem__(self, name: str) -> Column:
        return self.by_name[name]

    def without(self, names: frozenset[str]) -> "Columns":
        """Return these columns without some: for a reader from whom they are hidden."""
        if not names:
            return self
        if names not in self._parts:
            if len(self._parts) == MAX_PARTS:
                self._parts.clear()
            left = [column for column in self.all if column.name not in names]
            built_in = [name for name in BUILT_IN if name not in names]
            self._parts[names] = Columns(left, built_in)
        return self._parts[names]

    def convert(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return the message with the values of columns converted; other keys are unchanged.

        Raises:
            Rejected: `bad_value`, naming the first column whose value does not fit.
        """
        by_name, texts, integers = self.by_name, self._texts, self._integers
        converted = {}
        for key, value in message.items():
            kind = type(value)
            if (
                (kind is str and key in texts and value.isascii())
                or (kind is int and key in integers and value in INT64)
                or (value is None and key in self._nullable)
            ):
                converted[key] = value  # the usual cases, without a call
            elif key in by_name:
                converted[key] = by_name[key].convert(value)
            else:
                converted[key] = values.inexact(value)
        return converted

    def with_defaults(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a POST as it is broadcast, with defaults for the columns that it does not have."""
        missing = self._defaults.keys() - message.keys() if self._defaults else ()
        return {**message, **{key: self._defaults[key] for key in missing}} if missing else message

    def new_row(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return the row that a converted POST creates, with defaults for missing columns.

        Raises:
            Rejected: `bad_value`: a column that must not be empty has neither value nor default.
        """
        row = self._empty.copy()
        if message.keys() <= row.keys():
            row.update(message)
        else:
            row.update([item for item in message.items() if item[0] in row])
        for name in self._required:
            if row[name] is None:
                raise Rejected("bad_value", f"{name} is missing", column=name)
        return row

    def lift(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row of older columns in the current ones; a new column holds its default.

        A value without a lossless cast to the current type becomes NULL; `not_held` returns it.
        """
        lifted = {}
        for column in self.all:
            value = row.get(column.name, column.default)
            try:
                lifted[column.name] = column.lift(value)
            except (ValueError, TypeError, OverflowError):
                lifted[column.name] = None
                self._count_lost(column, row)
        return lifted

    def not_held(self, row: dict[str, Any], lifted: dict[str, Any]) -> dict[str, Any]:
        """Return the values of a row that `lift` did not keep.

        Args:
            row: of other columns.
            lifted: what `lift` made of it.
        """
        left = {name: value for name, value in row.items() if name not in self.by_name}
        for column in self.all:
            value = row.get(column.name)
            if value is None:
                continue
            held = lifted[column.name]
            if held is None or (column.kind is Kind.DATE and held != value):
                left[column.name] = value
        return left

    def _count_lost(self, column: Column, row: dict[str, Any]) -> None:
        """Count a value that became NULL; log the first, the tenth, the hundredth and so on."""
        self.lost[column.name] += 1
        count = self.lost[column.name]
        if str(count).strip("0") == "1":
            facts = {"column": column.name, "type": column.sql_type, "id": row.get("id")}
            logger.warning("value_not_lifted", **facts, count=count)
