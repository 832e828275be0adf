"""Values: what a column holds, accepts and is compared with, as JSON Schema.

What is described is accepted. Messages may also spell values in other ways, which the documentation
lists.
"""

from typing import Any, Final

from eventhub.channel import MAX_ID_LENGTH
from eventhub.columns import INT64, STAMP, Column, Digits, Kind

Json = dict[str, Any]

_DAY: Final = r"\d{4}-\d\d-\d\d"
_MOMENT: Final = _DAY + r"T\d\d:\d\d:\d\d(\.\d{6})?"
_WIDE: Final = "A string beyond ±2^53, with `_bigint=string`."
_TIME: Final[Json] = {"type": "string", "format": "date-time"}
ID: Final[Json] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_ID_LENGTH,
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
}
"""The id of a row."""
_READ: Final[dict[Kind, Json]] = {
    Kind.TEXT: {"type": "string"},
    Kind.INTEGER: {"type": ["integer", "string"], "format": "int64", "description": _WIDE},
    Kind.REAL: {"type": "number", "format": "double"},
    Kind.DECIMAL: {"type": ["number", "string"], "description": _WIDE},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.TIMESTAMP: {
        "type": "string",
        "pattern": f"^{_MOMENT}$",
        "description": "In UTC, without a zone.",
    },
    Kind.TIMESTAMPTZ: {"type": "string", "pattern": f"^{_MOMENT}Z$"},
    Kind.JSON: {},
}
"""What a row holds, besides null."""
_WRITTEN: Final[dict[Kind, Json]] = {
    Kind.TEXT: {"type": ["string", "number", "boolean"]},
    Kind.INTEGER: {
        "type": ["integer", "string"],
        "minimum": INT64[0],
        "maximum": INT64[-1],
        "pattern": "^-?[0-9]{1,18}$",
    },
    Kind.REAL: {"type": ["number", "string"], "pattern": r"^-?[0-9]{1,300}(\.[0-9]+)?$"},
    Kind.BOOLEAN: {"type": ["boolean", "number"]},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.TIMESTAMP: _TIME,
    Kind.TIMESTAMPTZ: _TIME,
    Kind.JSON: {},
}
"""What a message may have, besides null; of a DECIMAL it depends on its digits."""
_OPERANDS: Final[dict[Kind, Json]] = {
    Kind.TEXT: {"type": "string"},
    Kind.INTEGER: {"type": "integer"},
    Kind.REAL: {"type": "number"},
    Kind.DECIMAL: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.TIMESTAMP: _TIME,
    Kind.TIMESTAMPTZ: _TIME,
    Kind.JSON: {"const": ""},
}
"""What a column is compared with in a filter; `c=` alone asks whether it is NULL."""


def nullable(schema: Json) -> Json:
    """Return a schema that also allows null."""
    if "type" not in schema:
        return schema
    given = schema["type"]
    return {**schema, "type": [*([given] if isinstance(given, str) else given), "null"]}


def read_schema(column: Column) -> Json:
    """Return the schema of a column's values in a row."""
    if column.name == "id":
        return ID
    if column.name == STAMP:
        return nullable({"type": "string", "description": "ISO 8601 in UTC."})
    schema = _READ[column.kind]
    if column.digits is not None:
        digits = f"At most {column.digits.precision} digits, {column.digits.scale} after the point."
        schema = {**schema, "description": f"{digits} {schema['description']}"}
    return nullable(schema)


def written_schema(column: Column) -> Json:
    """Return the schema of a column's values in a message."""
    if column.name == "id":
        return ID
    if column.name == STAMP:
        return nullable(_TIME)
    schema = dict(_WRITTEN[column.kind] if column.digits is None else _decimal(column.digits))
    if column.default is not None:
        schema["default"] = column.default
    return nullable(schema) if column.nullable else schema


def operand_schema(column: Column) -> Json:
    """Return the schema of what a filter compares a column with."""
    return _TIME if column.name == STAMP else _OPERANDS[column.kind]


def _decimal(digits: Digits) -> Json:
    """Return the schema of a DECIMAL, whose last digits only text is sure to keep."""
    before, after = digits.precision - digits.scale, digits.scale
    whole = f"[0-9]{{1,{before}}}" if before else "0"
    fraction = rf"(\.[0-9]{{1,{after}}})?" if after else ""
    return {
        "type": ["integer", "string"],
        "minimum": 1 - 10**before,
        "maximum": 10**before - 1,
        "pattern": f"^-?{whole}{fraction}$",
    }
