"""Mirror columns: the types of a channel's columns in another database, and which others will do.

A column that another program made may have any type. It is used as it is if it holds every value;
if it is of the right sort, but too narrow, it can be widened.
"""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from eventhub.columns import Column, Kind

SQLITE_DIGITS: Final = 15
"""Of a number that SQLite keeps exactly: it holds a DECIMAL as a float."""
ID_LENGTH: Final = 200
MYSQL: Final = ("mysql", "mariadb")
_UTF8: Final = "utf8mb4"
_ID_COLLATION: Final = {"mysql": "utf8mb4_0900_bin", "mariadb": "utf8mb4_nopad_bin"}
"""Most others make one id of two that differ in case, or in spaces at their ends."""

MYSQL_TEXT: Final = mysql.LONGTEXT(charset=_UTF8, collation="utf8mb4_bin")
_MYSQL_MOMENT = mysql.DATETIME(fsp=6)
_TYPES: dict[Kind, sa.types.TypeEngine[Any]] = {
    Kind.TEXT: sa.Text().with_variant(MYSQL_TEXT, *MYSQL),
    Kind.INTEGER: sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
    Kind.REAL: sa.Double(),
    Kind.BOOLEAN: sa.Boolean(),
    Kind.DATE: sa.Date(),
    Kind.TIMESTAMP: sa.TIMESTAMP().with_variant(_MYSQL_MOMENT, *MYSQL),
    Kind.TIMESTAMPTZ: sa.TIMESTAMP(timezone=True).with_variant(_MYSQL_MOMENT, *MYSQL),
    # SQLite would make a number of a JSON text that is one; MySQL writes numbers in its own way.
    Kind.JSON: sa.JSON().with_variant(sa.Text(), "sqlite").with_variant(MYSQL_TEXT, *MYSQL),
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
    """Return the type that a new table has for a column: one that holds every value of it.

    Args:
        column: of the channel.
        dialect: SQLAlchemy's name of the database; `mariadb` of MariaDB, whatever its URL says.
    """
    if column.name == "id" and dialect in MYSQL:
        return mysql.VARCHAR(ID_LENGTH, charset=_UTF8, collation=_ID_COLLATION[dialect])
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
    if dialect in MYSQL:
        return isinstance(found, sa.String if column.kind is Kind.JSON else _FAMILIES[column.kind])
    sorts = (Kind.TEXT, Kind.INTEGER, Kind.REAL)
    return column.kind in sorts and isinstance(found, _FAMILIES[column.kind])


def misfit(column: Column, found: sa.types.TypeEngine[Any], dialect: str) -> bool:
    """Tell whether a column that another program made could not hold a value of ours."""
    kind = column.kind
    if dialect == "sqlite":
        return not _fits_sqlite(column, found)
    if dialect in MYSQL:
        return not _fits_mysql(column, found)
    if column.digits is not None:
        return not _has_digits(found, *column.digits)
    if not isinstance(found, _FAMILIES[kind]):
        return True
    if isinstance(found, sa.String):
        length = found.length
        return length is not None and (column.name != "id" or length < ID_LENGTH)
    if isinstance(found, sa.Integer):
        return not isinstance(found, sa.BigInteger)
    if isinstance(found, sa.REAL | postgresql.JSONB):
        return True  # half of the digits; other numbers, no U+0000
    if isinstance(found, sa.DateTime):
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


def _fits_mysql(column: Column, found: sa.types.TypeEngine[Any]) -> bool:
    """MySQL's types have narrow variants, which are subclasses of the wide ones."""
    if getattr(found, "unsigned", False) and column.kind is not Kind.BOOLEAN:
        return False
    if column.name == "id":
        collation = getattr(found, "collation", None)
        is_wide = isinstance(found, mysql.VARCHAR) and (found.length or 0) >= ID_LENGTH
        return is_wide and collation in _ID_COLLATION.values()
    if column.digits is not None:
        return _has_digits(found, *column.digits)
    match column.kind:
        case Kind.TEXT | Kind.JSON:  # TEXT has 64 KiB
            is_wide = isinstance(found, mysql.LONGTEXT | mysql.MEDIUMTEXT)
            return is_wide and getattr(found, "charset", None) == _UTF8
        case Kind.REAL:
            return isinstance(found, sa.Double) and getattr(found, "scale", None) is None
        case Kind.BOOLEAN:
            return isinstance(found, sa.Boolean | mysql.TINYINT)
        case Kind.INTEGER:
            return isinstance(found, sa.BigInteger)
        case Kind.TIMESTAMP | Kind.TIMESTAMPTZ:  # TIMESTAMP has the years 1970 to 2038
            return isinstance(found, mysql.DATETIME) and found.fsp == _MYSQL_MOMENT.fsp
        case _:
            return isinstance(found, _FAMILIES[column.kind])
