"""Listing: all rows of a channel's tables at one moment, for a comparison with the log.

`verify` reads tables only through this interface, whether this process has opened them or a
running hub has (`projections.remote`).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol

import duckdb
import msgspec

from projections.pages import row_json
from projections.progress import Progress, read_progress
from projections.reader import Reader
from projections.store import Store
from projections.tables import Tables

CHUNK_ROWS = 50
"""Read and sent at once; a row may have 1 MB."""
_TIME = "strftime(_time, '%Y-%m-%dT%H:%M:%S.%f') || 'Z'"
"""In the form of `Event.time`."""


class Row(NamedTuple):
    """One row of a table. Any value may be None, because any may be damaged."""

    sequence: int | None
    values: dict[str, Any]
    """By column: the channel's in the form of an event's row, and the table's own except `_seq`."""


class Listing(Protocol):
    """The tables of a channel. Read the history first, then the current rows, each once."""

    progress: Progress

    def history(self) -> AsyncIterator[list[Row]]:
        """Iterate over the history by sequence, in chunks; rows without a sequence come first."""

    def current(self) -> AsyncIterator[list[Row]]:
        """Iterate over the current rows, in chunks."""


class StoreListing:
    """The tables of a store that this process has open."""

    def __init__(self, store: Store, reader: Reader, tables: Tables, progress: Progress) -> None:
        self._store = store
        self._reader = reader
        self._tables = tables
        self.progress = progress

    @classmethod
    @asynccontextmanager
    async def open(cls, store: Store, channel: str) -> AsyncIterator["StoreListing"]:
        """Open the tables of a channel in one transaction.

        Raises:
            Unavailable: the store is closing, or cannot be read.
        """
        tables = store.tables[channel]
        async with store.reader() as reader:
            # In the transaction: the store's own progress may be newer.
            progress = await store.read(reader, lambda c: read_progress(c, channel))
            yield cls(store, reader, tables, progress)

    async def history(self) -> AsyncIterator[list[Row]]:
        """See `Listing`."""
        extra = ["_method", "_user", "_endpoint"]
        sql = _select(self._tables, self._tables.history, extra)
        async for chunk in self._rows(f"{sql} ORDER BY _seq NULLS FIRST", extra):
            yield chunk

    async def current(self) -> AsyncIterator[list[Row]]:
        """See `Listing`."""
        async for chunk in self._rows(_select(self._tables, self._tables.current, []), []):
            yield chunk

    async def _rows(self, sql: str, extra: list[str]) -> AsyncIterator[list[Row]]:
        await self._store.read(self._reader, lambda connection: connection.execute(sql))
        names = ["_created_seq", "_time", *extra]
        while chunk := await self._store.read(self._reader, _fetching(names)):
            yield chunk


def _select(tables: Tables, table: str, extra: list[str]) -> str:
    own = ", ".join(["_created_seq", _TIME, *extra])
    row = row_json(tables, tables.columns.names)
    return f"SELECT _seq, {row}, {own} FROM {table}"  # noqa: S608 - quoted


def _fetching(names: list[str]) -> Callable[[duckdb.DuckDBPyConnection], list[Row]]:
    def fetch(connection: duckdb.DuckDBPyConnection) -> list[Row]:
        return [
            Row(sequence, {**msgspec.json.decode(text), **dict(zip(names, own, strict=True))})
            for sequence, text, *own in connection.fetchmany(CHUNK_ROWS)
        ]

    return fetch
