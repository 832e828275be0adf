"""Kinds: what a column can store, and the SQL types of a configuration that stand for it."""

import re
from enum import StrEnum
from typing import NamedTuple

from eventhub.errors import Misconfigured


class Kind(StrEnum):
    """What a column stores; the value is its SQL type in the projection."""

    TEXT = "VARCHAR"
    INTEGER = "BIGINT"
    REAL = "DOUBLE"
    DECIMAL = "DECIMAL"
    """With the number of digits in `Digits`."""
    BOOLEAN = "BOOLEAN"
    DATE = "DATE"
    TIMESTAMP = "TIMESTAMP"
    TIMESTAMPTZ = "TIMESTAMPTZ"
    JSON = "JSON"


class Digits(NamedTuple):
    """How many digits a DECIMAL column holds."""

    precision: int = 38
    """All digits."""
    scale: int = 10
    """Digits after the point."""


_KINDS = {
    Kind.TEXT: "TEXT VARCHAR CHAR CHARACTER NVARCHAR NCHAR STRING CLOB UUID",
    Kind.INTEGER: "INTEGER INT BIGINT SMALLINT TINYINT MEDIUMINT INT2 INT4 INT8 LONG",
    Kind.REAL: "REAL FLOAT DOUBLE FLOAT4 FLOAT8",
    Kind.DECIMAL: "DECIMAL NUMERIC DEC",
    Kind.BOOLEAN: "BOOLEAN BOOL",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "TIMESTAMP DATETIME",
    Kind.TIMESTAMPTZ: "TIMESTAMPTZ",
    Kind.JSON: "JSON JSONB",
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}
TYPES = tuple(_KIND_OF)
"""The names of types, without lengths."""
_SQL_TYPE = re.compile(
    r"\s*([A-Z][A-Z0-9]*)(?:\s+PRECISION|\s+VARYING)?\s*(?:\(([\d\s,]*)\))?"
    r"\s*(WITH\s+TIME\s+ZONE|WITHOUT\s+TIME\s+ZONE)?\s*",
    re.ASCII | re.IGNORECASE,
)
_DIGITS = re.compile(r"\s*(\d{1,3})\s*(?:,\s*(\d{1,3})\s*)?", re.ASCII)


def kind_of(sql_type: str) -> Kind:
    """Return the kind of a SQL type of the configuration.

    Raises:
        Misconfigured: the type is not supported.
    """
    match = _SQL_TYPE.fullmatch(sql_type)
    kind = _KIND_OF.get(match[1].upper()) if match else None
    zone = match[3].upper() if match and match[3] else ""
    if kind is None or (zone and kind not in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ)):
        known = ", ".join(words.split()[0] for words in _KINDS.values())
        raise Misconfigured(f"unknown column type {sql_type!r}: use one of {known}")
    if zone:
        return Kind.TIMESTAMP if zone.startswith("WITHOUT") else Kind.TIMESTAMPTZ
    return kind


def digits_of(sql_type: str) -> Digits | None:
    """Return the digits of a DECIMAL of the configuration; None for any other SQL type.

    `DECIMAL(12)` has scale 0, as in SQL; `DECIMAL` is `DECIMAL(38,10)`.

    Raises:
        Misconfigured: DuckDB has no such DECIMAL.
    """
    if kind_of(sql_type) is not Kind.DECIMAL:
        return None
    match = _SQL_TYPE.fullmatch(sql_type)
    if match is None or match[2] is None:
        return Digits()
    given = _DIGITS.fullmatch(match[2])
    digits = Digits(int(given[1]), int(given[2] or 0)) if given else Digits(0, 0)
    if not (1 <= digits.precision <= 38 and digits.scale <= digits.precision):
        raise Misconfigured(
            f"invalid column type {sql_type!r}: write DECIMAL(p,s) with 1 to 38 digits, s of them"
            " after the point"
        )
    return digits
