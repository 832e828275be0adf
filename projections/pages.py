"""Pages: a query as SELECTs whose rows, one SELECT after the other, are the rows of the query.

DuckDB holds what it sorts in memory, and wide rows do not leave it for a file: 1.1 GB of rows of
30 KB cannot be sorted with a limit of 1 GB. So rows in order of creation are read in pages, each a
stretch of `_created_seq` that was weighed before: memory is bounded however large the table, and
the first rows come when the first page is sorted (ADR-31). An order that the reader asked for is
one page.

The JSON of a row is made by DuckDB, equal when parsed to the row of the event; `_JSON` holds the
one kind whose text it would spell differently.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import duckdb

from eventhub.columns import Column, Kind, Spelling
from eventhub.columns.spelling import EXACT, STAMP_FORM
from eventhub.filters.query import Query
from eventhub.filters.sql import literal, quoted
from eventhub.snapshots import RowHead
from projections.tables import Tables

SHARES = 32
"""A page is this part of DuckDB's memory, in text and JSON: to sort it takes up to twenty times as
much. Where rows were changed in no order each page looks through them all: the fewer the better."""
BUCKET = 256
"""Created sequences that are weighed together: a page holds whole buckets."""
_FIXED_BYTES = 8
"""Of a value that is neither text nor JSON."""

_HEADS = {
    RowHead.NONE: [],
    RowHead.SEQUENCED: ["'_method', 'POST'", "'_seq', _seq"],
    RowHead.PLACED: ["'_seq', _seq", "'_created', _created_seq"],
}
"""The members of a row that precede its columns, as SQL."""


@dataclass(frozen=True, slots=True)
class Page:
    """One SELECT."""

    sql: str
    parameters: list[object] = field(default_factory=list)


def pages(
    connection: duckdb.DuckDBPyConnection,
    tables: Tables,
    query: Query,
    *,
    select: str,
    text_bytes: float,
    memory_bytes: int,
) -> Iterator[Page]:
    """Iterate over the pages of a query; if nothing matches there is one, which is empty.

    Rows are weighed only where there may be more than a page of them: it takes a twentieth of the
    time that it takes to send them, but 2 ms at least, a third of a small replay.

    Args:
        connection: in the transaction that the pages will be read in.
        tables: of the channel.
        query: what is asked for.
        select: of each row, as SQL: `selected_json`, or columns.
        text_bytes: bound of the text in all rows.
        memory_bytes: what DuckDB holds in memory at the most.
    """
    page_bytes = memory_bytes // SHARES
    if query.is_shaped or text_bytes <= page_bytes:
        yield _page(tables, query, select)
        return
    start = None
    for end in _ends(_weights(connection, tables, query), page_bytes):
        yield _page(tables, query, select, start, end)
        start = end
    yield _page(tables, query, select, start)


def row_json(
    tables: Tables,
    names: Iterable[str],
    *,
    row_head: RowHead = RowHead.NONE,
    spelling: Spelling | None = None,
) -> str:
    """Return the SQL of a JSON object with these columns in order, after its head.

    Args:
        tables: of the channel.
        names: of the columns.
        row_head: what precedes the columns.
        spelling: how values go out; without it they are as in an event's row.
    """
    columns = [tables.columns[name] for name in names]
    members = [f"{literal(column.name)}, {json_value(column, spelling)}" for column in columns]
    return f"CAST(json_object({', '.join([*_HEADS[row_head], *members])}) AS VARCHAR)"


def selected_json(tables: Tables, query: Query, *, row_head: RowHead) -> str:
    """Return the SQL of a row as its readers get it: a JSON object in a BLOB.

    Bytes are cheaper to fetch than text, which Python would have to decode and then encode again.
    """
    row = row_json(tables, query.columns, row_head=row_head, spelling=query.spelling)
    return f"encode({row})"


def _page(
    tables: Tables,
    query: Query,
    select: str,
    start: int | None = None,
    end: int | None = None,
) -> Page:
    """Return the SELECT of the rows of a query that were created at `start` or later, before `end`.

    JSON is made outside of the sort: rows beyond the limit never become text.
    """
    where, values = query.filter.sql()
    parameters: list[object] = [*values]
    for operator, bound in ((">=", start), ("<", end)):
        if bound is not None:
            where += f" AND _created_seq {operator} ?"
            parameters.append(bound)
    rows = f"SELECT * FROM {tables.rows(query.as_of)} WHERE {where} ORDER BY {query.order_by()}"  # noqa: S608 - quoted
    if query.limit is not None:
        rows += " LIMIT ?"
        parameters.append(query.limit)
    if query.offset:
        rows += " OFFSET ?"
        parameters.append(query.offset)
    return Page(f"SELECT {select} FROM ({rows})", parameters)  # noqa: S608 - quoted


def _weights(
    connection: duckdb.DuckDBPyConnection, tables: Tables, query: Query
) -> list[tuple[int, int]]:
    """Return the first sequence of each bucket that has rows, in order, and their bytes."""
    where, values = query.filter.sql()
    width = " + ".join(_width(tables.columns[name]) for name in query.columns)
    return connection.execute(
        f"SELECT _created_seq // {BUCKET} * {BUCKET} AS start, sum({width})"  # noqa: S608 - quoted
        f" FROM {tables.rows(query.as_of)} WHERE {where} GROUP BY start ORDER BY start",
        [*values],
    ).fetchall()


def _ends(weights: list[tuple[int, int]], page_bytes: int) -> Iterator[int]:
    """Iterate over the sequences at which a page ends and another one begins."""
    size = 0
    for start, width in weights:
        if size and size + width > page_bytes:
            yield start
            size = 0
        size += width


def _width(column: Column) -> str:
    if column.kind in (Kind.TEXT, Kind.JSON):
        return f"coalesce(strlen({quoted(column.name)}), 0)"
    return str(_FIXED_BYTES)


def json_value(column: Column, spelling: Spelling | None) -> str:
    """Return the SQL of a value in the JSON of a row."""
    name = quoted(column.name)
    if column.digits is not None:
        # Of a DECIMAL of fewer digits the JSON is a float's.
        if spelling and column.name in spelling.wide:
            return _wide_json(name, f"DECIMAL(38,{column.digits.scale})")
        kind = f"DECIMAL(38,{column.digits.scale})" if spelling else "VARCHAR"
        return f"CAST({name} AS {kind})"
    if spelling and column.name in spelling.wide:
        return _wide_json(name, "BIGINT")
    if spelling and column.name == spelling.stamp:
        is_stamp = f"regexp_full_match({name}, {literal(STAMP_FORM)})"
        return f"CASE WHEN {is_stamp} THEN {name} || 'Z' ELSE {name} END"
    return _JSON.get(column.kind, "{0}").format(name)


def _iso(moment: str, zone: str) -> str:
    """Return the SQL of what `datetime.isoformat` writes: no microseconds, or six digits."""
    whole, exact = (f"strftime({moment}, '%Y-%m-%dT%H:%M:%S{f}{zone}')" for f in ("", ".%f"))
    return f"CASE WHEN microsecond({moment}) % 1000000 = 0 THEN {whole} ELSE {exact} END"


def _wide_json(name: str, kind: str) -> str:
    """Return the SQL of a number in JSON, or of its text if a double does not hold it."""
    number, text = (f"to_json(CAST({name} AS {each}))" for each in (kind, "VARCHAR"))
    return f"CASE WHEN {name} BETWEEN -{EXACT} AND {EXACT} THEN {number} ELSE {text} END"


def instant_json(name: str) -> str:
    """Return the SQL of an instant in JSON: in UTC, whatever the time zone of the connection."""
    return _iso(f"make_timestamp(epoch_us({name}))", "Z")


_JSON = {Kind.TIMESTAMP: _iso("{0}", ""), Kind.TIMESTAMPTZ: instant_json("{0}")}
