"""Mirror columns: the types and values of a channel's columns in another database.

Values are bound and read as the driver has them, without conversions by SQLAlchemy: what SQLite
holds is then the text that clients see, and a table that another program made can hold anything.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Rejected

SQLITE_DIGITS: Final = 15
"""Of a number that SQLite keeps exactly: it holds a DECIMAL as a float."""
NUL_SHOWN: Final = "\u2400"
"""What PostgreSQL holds for U+0000, which its text cannot: the symbol for it."""
ID_LENGTH: Final = 200
MYSQL: Final = ("mysql", "mariadb")

_MYSQL_TEXT = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
_MYSQL_ID = mysql.VARCHAR(ID_LENGTH, charset="utf8mb4", collation="utf8mb4_bin")
_TYPES: dict[Kind, sa.types.TypeEngine[Any]] = {
    Kind.TEXT: sa.Text().with_variant(_MYSQL_TEXT, *MYSQL),
    Kind.INTEGER: sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
    Kind.REAL: sa.Double(),
    Kind.BOOLEAN: sa.Boolean(),
    Kind.DATE: sa.Date(),
    Kind.TIMESTAMP: sa.TIMESTAMP().with_variant(mysql.DATETIME(fsp=6), *MYSQL),
    Kind.TIMESTAMPTZ: sa.TIMESTAMP(timezone=True).with_variant(mysql.DATETIME(fsp=6), *MYSQL),
    # SQLite would make a number of a JSON text that is one; MySQL writes numbers in its own way.
    Kind.JSON: sa.JSON().with_variant(sa.Text(), "sqlite").with_variant(_MYSQL_TEXT, *MYSQL),
}
_FAMILIES: dict[Kind, tuple[type[sa.types.TypeEngine[Any]], ...]] = {
    Kind.TEXT: (sa.String,),
    Kind.INTEGER: (sa.Integer,),
    Kind.REAL: (sa.Float,),
    Kind.BOOLEAN: (sa.Boolean,),
    Kind.DATE: (sa.Date,),
    Kind.TIMESTAMP: (sa.DateTime,),
    Kind.TIMESTAMPTZ: (sa.DateTime,),
    Kind.JSON: (sa.JSON,),
}


def type_of(column: Column, dialect: str) -> sa.types.TypeEngine[Any]:
    """Return the type that a new table has for a column: one that holds every value of it."""
    if column.name == "id":
        return sa.Text().with_variant(_MYSQL_ID, *MYSQL)
    if column.digits is None:
        return _TYPES[column.kind]
    if dialect == "sqlite" and column.digits.precision > SQLITE_DIGITS:
        return sa.Text()
    return sa.Numeric(*column.digits)


def is_narrow(column: Column, found: sa.types.TypeEngine[Any], dialect: str) -> bool:
    """Tell whether a misfit is of the right sort, and holds every value once it is wider."""
    if dialect == "sqlite" or not misfit(column, found, dialect):
        return False
    if column.digits is not None:
        return isinstance(found, sa.Numeric) and not isinstance(found, sa.Float)
    sorts = (Kind.TEXT, Kind.INTEGER, Kind.REAL)
    return column.kind in sorts and isinstance(found, _FAMILIES[column.kind])


def misfit(column: Column, found: sa.types.TypeEngine[Any], dialect: str) -> bool:
    """Tell whether a column that another program made could not hold a value of ours."""
    kind = column.kind
    if dialect == "sqlite":
        return not _fits_sqlite(column, found)
    if kind is Kind.BOOLEAN and dialect != "postgresql":
        return not isinstance(found, sa.Boolean | mysql.TINYINT)
    if column.digits is not None:
        return not _has_digits(found, *column.digits)
    if kind is Kind.JSON and dialect in MYSQL:
        return not isinstance(found, sa.String)
    if not isinstance(found, _FAMILIES[kind]):
        return True
    if isinstance(found, sa.String):
        length = found.length
        return length is not None and (column.name != "id" or length < ID_LENGTH)
    if isinstance(found, sa.Integer):
        return not isinstance(found, sa.BigInteger)
    if isinstance(found, sa.REAL | mysql.FLOAT | postgresql.JSONB):
        return True  # half of the digits; other numbers, no U+0000
    if isinstance(found, sa.DateTime) and dialect == "postgresql":
        return found.timezone != (kind is Kind.TIMESTAMPTZ)
    return False


def _has_digits(found: sa.types.TypeEngine[Any], precision: int, scale: int) -> bool:
    if not isinstance(found, sa.Numeric) or isinstance(found, sa.Float):
        return False
    if found.precision is None:  # PostgreSQL's NUMERIC has no limit
        return True
    has = found.scale or 0
    return has >= scale and found.precision - has >= precision - scale


def _fits_sqlite(column: Column, found: sa.types.TypeEngine[Any]) -> bool:
    """SQLite keeps any value in any column, but makes numbers of texts where the type is none."""
    is_text = isinstance(found, sa.String)
    if column.kind in (Kind.TEXT, Kind.JSON):
        return is_text or (column.kind is Kind.JSON and isinstance(found, sa.JSON))
    if column.digits is not None and column.digits.precision > SQLITE_DIGITS:
        return is_text
    if column.kind in (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        return is_text or isinstance(found, _FAMILIES[column.kind])
    if column.kind is Kind.INTEGER:
        return isinstance(found, sa.Integer | sa.Numeric)
    return isinstance(found, sa.Numeric | sa.Float | sa.Boolean | sa.Integer)


class Values:
    """Carries the values of a row to and from the driver of a database."""

    def __init__(self, columns: Columns, dialect: str) -> None:
        self._columns = columns
        self._dialect = dialect
        self._bind = {c.name: bind for c in columns if (bind := self._binder(c))}
        self._keep = {c.name: keep for c in columns if (keep := self._keeper(c))}

    def bound(self, row: Mapping[str, Any]) -> list[Any]:
        """Return the values of an event's row as the driver takes them, in order."""
        return list(_changed(row, self._columns.names, self._bind).values())

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
