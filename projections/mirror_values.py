"""Mirror values: the values of a channel's columns, to and from the driver of another database.

Values are bound and read as the driver has them, without conversions by SQLAlchemy: what SQLite
holds is then the text that clients see, and a table that another program made can hold anything.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import msgspec

from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Rejected
from projections.mirror_columns import MYSQL

NUL_SHOWN: Final = "\u2400"
"""What PostgreSQL holds for U+0000, which its text cannot: the symbol for it."""


class Values:
    """Carries the values of a row to and from the driver of a database."""

    def __init__(self, columns: Columns, dialect: str) -> None:
        self._columns = columns
        self._dialect = dialect
        self._bind = {c.name: bind for c in columns if (bind := self._binder(c))}
        self._keep = {c.name: keep for c in columns if (keep := self._keeper(c))}

    def bound(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values of an event's row as the driver takes them, in order."""
        return tuple(_changed(row, self._columns.names, self._bind).values())

    def kept(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return an event's row as it is read back: a few values cannot be kept as they are."""
        return _changed(row, self._columns.names, self._keep)

    def given(self, names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
        """Return a row of the driver as a client would send it."""
        return {name: self._plain(name, value) for name, value in zip(names, values, strict=True)}

    def read(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return a row of the driver as an event has it; a value that does not fit as its text."""
        row = self.given(self._columns.names, values)
        for column in self._columns:
            try:
                row[column.name] = column.convert(row[column.name])
            except Rejected:
                row[column.name] = repr(row[column.name])
        return row

    def _binder(self, column: Column) -> Callable[[Any], Any] | None:
        if column.kind is Kind.JSON:
            return _json_text
        if column.kind is Kind.TIMESTAMPTZ and self._dialect in MYSQL:
            return _without_zone
        return self._keeper(column)

    def _keeper(self, column: Column) -> Callable[[Any], Any] | None:
        if column.kind is Kind.TEXT and self._dialect == "postgresql":
            return _without_nul
        return _without_minus if column.kind is Kind.REAL else None

    def _plain(self, name: str, value: Any) -> Any:
        if isinstance(value, UUID):
            return str(value)
        is_json = name in self._columns and self._columns[name].kind is Kind.JSON
        if is_json and isinstance(value, str) and self._dialect != "postgresql":
            with suppress(ValueError):  # what is not JSON is its own text, as from a client
                return json.loads(value)
        return value


def _changed(
    row: Mapping[str, Any], names: Sequence[str], changes: Mapping[str, Callable[[Any], Any]]
) -> dict[str, Any]:
    changed = {name: row[name] for name in names}
    for name, change in changes.items():
        if changed[name] is not None:
            changed[name] = change(changed[name])
    return changed


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _without_nul(text: str) -> str:
    return text.replace("\0", NUL_SHOWN)


def _without_minus(number: float) -> float:
    return number or 0.0


def _without_zone(text: str) -> str:
    return text.removesuffix("Z")
