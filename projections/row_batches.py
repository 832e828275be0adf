"""Row batches: the current rows of a table as Arrow tables, in order of creation, at one moment."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import duckdb
import pyarrow as pa

from eventhub.filters.conditions import Filter
from eventhub.filters.query import parse
from eventhub.filters.sql import quoted
from projections.columnar import row_schema
from projections.pages import Page, pages
from projections.progress import read_progress
from projections.store import Progress, Store
from projections.tables import Tables

BATCH_ROWS = 200
"""Fetched at once: rows may have 1 MB each."""
STEP_BYTES = 4 << 20
"""What is read before it is given on."""


Rows = tuple[Progress, AsyncIterator[pa.Table]]
"""How far the tables are, and the rows, of `row_schema`."""


@asynccontextmanager
async def open_rows(store: Store, tables: Tables, where: Filter) -> AsyncIterator[Rows]:
    """Read the rows that match, in one transaction; errors as `Store.read`."""
    async with store.reader() as reader:
        rows = _Rows(store, tables, where)
        progress = await store.read(reader, rows.begin)

        async def batches() -> AsyncIterator[pa.Table]:
            while (table := await store.read(reader, rows.step)) is not None:
                yield table

        yield progress, batches()


class _Rows:
    """One reading; each method is a step in the transaction."""

    def __init__(self, store: Store, tables: Tables, where: Filter) -> None:
        self._store = store
        self._tables = tables
        self._schema = row_schema(tables.channel)
        self._where = where
        self._pages: Iterator[Page] = iter(())
        self._batches: Iterator[pa.RecordBatch] = iter(())

    def begin(self, connection: duckdb.DuckDBPyConnection) -> Progress:
        query = parse({}, self._tables.columns).within(self._where)
        self._pages = pages(
            connection,
            self._tables,
            query,
            select=", ".join(map(quoted, self._schema.names)),
            text_bytes=self._store.text_bytes(self._tables.channel.name),
            memory_bytes=self._store.memory_bytes,
        )
        return read_progress(connection, self._tables.channel.name)

    def step(self, connection: duckdb.DuckDBPyConnection) -> pa.Table | None:
        """Return the next rows, or None after the last one."""
        found: list[pa.RecordBatch] = []
        size = 0
        while size < STEP_BYTES:
            batch = next(self._batches, None)
            if batch is not None:
                found.append(batch)
                size += batch.nbytes
            elif not self._turn_page(connection):
                break
        return pa.Table.from_batches(found).cast(self._schema) if found else None

    def _turn_page(self, connection: duckdb.DuckDBPyConnection) -> bool:
        page = next(self._pages, None)
        if page is None:
            return False
        found = connection.sql(page.sql, params=page.parameters)
        self._batches = iter(found.to_arrow_reader(BATCH_ROWS))
        return True


def as_stream(table: pa.Table) -> bytes:
    """Return a table as an Arrow stream, whole by itself."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def of_stream(data: bytes) -> pa.Table:
    """Return the table of an Arrow stream."""
    return pa.ipc.open_stream(data).read_all()
