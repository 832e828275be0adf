"""Parameters: which ones a statement has, and the values that a client binds to them.

A client binds a batch of one row. If its columns are named after the parameters, names decide,
otherwise the order. JSON carries values to the hub: what it has no word for goes as text, which
takes the type that its place in the statement asks for.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Final

import duckdb
import pyarrow as pa

from eventhub.errors import Rejected

MAX_LENGTH: Final = 100_000
"""Characters of a statement; the hub refuses a longer one."""


def names_of(sql: str) -> tuple[str, ...]:
    """Return the parameters of a statement, in the order of their first use.

    The statement is only parsed; one that cannot be has none, and is refused when it is run.
    """
    if len(sql) > MAX_LENGTH:
        return ()
    try:
        with duckdb.connect() as parser:
            statements = parser.extract_statements(sql)
            names = {name for statement in statements for name in statement.named_parameters}
    except (duckdb.Error, ValueError, RuntimeError):
        return ()
    return tuple(sorted(names, key=lambda name: _place(sql, name)))


def _place(sql: str, name: str) -> tuple[int, int]:
    if name.isdecimal():  # `$1`, or the first `?`
        return int(name), 0
    found = re.search(rf"\${re.escape(name)}(?!\w)", sql, re.IGNORECASE)
    return 0, found.start() if found else len(sql)


def values_of(batches: Sequence[pa.RecordBatch], names: Sequence[str]) -> dict[str, object]:
    """Return the values of parameters.

    Args:
        batches: what the client has bound.
        names: of the parameters.

    Raises:
        Rejected: `bad_request`: there is not one row, or not one value for each parameter.
    """
    table = pa.Table.from_batches(batches) if batches else pa.table({})
    if len(table) != 1:
        text = f"bind one row of values to a query, not {len(table)}"
        raise Rejected("bad_request", text)
    if table.num_columns != len(names):
        text = f"the statement has {len(names)} parameters, and got {table.num_columns} values"
        raise Rejected("bad_request", text)
    given = table.column_names
    order = names if sorted(given) == sorted(names) else given
    return {
        name: _value(table.column(column))
        for name, column in zip(names, _columns(given, order), strict=True)
    }


def _columns(given: Sequence[str], order: Sequence[str]) -> list[int]:
    """Return the numbers of the columns, in an order."""
    if order is given:
        return list(range(len(given)))
    return [given.index(name) for name in order]


def _value(column: pa.ChunkedArray) -> object:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return _as_json(column[0].as_py())


def _as_json(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return "".join(f"\\x{byte:02X}" for byte in value)
    if isinstance(value, timedelta):
        return f"{value // timedelta(microseconds=1)} microseconds"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _as_json(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(member) for member in value]
    return value
