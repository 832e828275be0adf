"""Snapshot: the rows of a query as JSON, at a known sequence. Implements `eventhub.snapshots`.

Watermark and rows are read in one transaction, so they agree however busy the writer is. The JSON
is made by DuckDB, equal when parsed to the row of the event; `_JSON` holds the one kind whose
text it would spell differently.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import duckdb

from eventhub.columns import Column, Kind
from eventhub.errors import Unavailable
from eventhub.filters import Query
from eventhub.snapshots import Snapshot
from projections.projector import Projector
from projections.reader import Reader
from projections.store import Store
from projections.tables import Tables, literal, quoted

CHUNK_ROWS = 1000
WAIT_SECONDS = 10.0
"""A reader waits this long for the projection to get to its sequence."""


class DuckSnapshots:
    """Snapshots of the current tables."""

    def __init__(self, store: Store, projectors: Iterable[Projector]) -> None:
        self._store = store
        self._projectors = {projector.channel: projector for projector in projectors}

    @asynccontextmanager
    async def read(self, channel: str, query: Query, *, at_least: int) -> AsyncIterator[Snapshot]:
        """Open a snapshot at `at_least` or later; what is not yet folded is folded for it.

        Raises:
            Unavailable: the projection did not get there in time, or cannot be read.
        """
        await self._projectors[channel].caught_up(at_least, WAIT_SECONDS)
        async with self._store.reader() as reader:
            snapshot = _Snapshot(self._store, reader)
            await snapshot.begin(self._store.tables[channel], query)
            if snapshot.sequence < at_least:
                raise Unavailable("the projection is being rebuilt")
            yield snapshot


class _Snapshot:
    """One query in one transaction; rows leave DuckDB as they are asked for."""

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader
        self.sequence = 0

    async def begin(self, tables: Tables, query: Query) -> None:
        """Read the watermark, and start the query."""
        sql, parameters = select(tables, query)

        def step(connection: duckdb.DuckDBPyConnection) -> int:
            sequence = watermark(connection, tables)
            connection.execute(sql, parameters)
            return sequence

        self.sequence = await self._store.read(self._reader, step)

    async def chunks(self) -> AsyncIterator[list[tuple[int, str]]]:
        """Iterate once over the rows in order."""
        while rows := await self._store.read(self._reader, _fetch):
            yield rows


def _fetch(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, str]]:
    return connection.fetchmany(CHUNK_ROWS)


def watermark(connection: duckdb.DuckDBPyConnection, tables: Tables) -> int:
    """Return the sequence that the current table of the transaction is at."""
    found = connection.execute(
        "SELECT seq FROM main._watermark WHERE channel = ?", [tables.channel.name]
    ).fetchall()
    return int(found[0][0]) if found else 0


def select(tables: Tables, query: Query) -> tuple[str, list[object]]:
    """Return the SELECT of `(_seq, JSON object)` of a query, and its parameters.

    JSON is made outside of the sort: rows beyond the limit never become text.
    """
    where, values = query.filter.sql()
    parameters: list[object] = [*values]
    rows = f"SELECT * FROM {tables.current} WHERE {where} ORDER BY {query.order_by()}"  # noqa: S608 - quoted
    if query.limit is not None:
        rows += " LIMIT ?"
        parameters.append(query.limit)
    if query.offset:
        rows += " OFFSET ?"
        parameters.append(query.offset)
    return f"SELECT _seq, {row_json(tables, query.columns)} FROM ({rows})", parameters  # noqa: S608 - quoted


def row_json(tables: Tables, names: Iterable[str]) -> str:
    """Return the SQL of a JSON object with these columns in order."""
    columns = [tables.columns[name] for name in names]
    members = ", ".join(f"{literal(column.name)}, {_value(column)}" for column in columns)
    return f"CAST(json_object({members}) AS VARCHAR)"


def _value(column: Column) -> str:
    return _JSON.get(column.kind, "{0}").format(quoted(column.name))


_JSON = {
    # As `datetime.isoformat`: a T, and either no microseconds or six digits.
    Kind.TIMESTAMP: "CASE WHEN microsecond({0}) % 1000000 = 0"
    " THEN strftime({0}, '%Y-%m-%dT%H:%M:%S') ELSE strftime({0}, '%Y-%m-%dT%H:%M:%S.%f') END",
}
