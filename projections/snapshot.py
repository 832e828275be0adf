"""Snapshot: the rows of a query as JSON, at a known sequence. Implements `eventhub.snapshots`.

Watermark and rows are read in one transaction, so they agree however busy the writer is. The JSON
is made by DuckDB, equal when parsed to the row of the event; `_JSON` holds the one kind whose
text it would spell differently.

An open transaction is dear: while it lasts DuckDB holds the sorted rows in memory, and all that is
deleted since. So few are open at once, and none is open for a reader that has stopped: what it has
not read is moved to a file.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import duckdb
import structlog

from eventhub.background import background
from eventhub.columns import Column, Kind
from eventhub.errors import Unavailable
from eventhub.filters import Query
from eventhub.snapshots import Snapshot
from projections.projector import Projector
from projections.spool import Chunk, Spool
from projections.store import Store
from projections.tables import Tables, literal, quoted

CHUNK_ROWS = 1000
CHUNK_BYTES = 256 << 10
"""About what a chunk holds at most; to weigh every row would cost a tenth of the throughput."""
BLOCK_ROWS = 20
"""The first rows of a chunk, which are weighed: rows of 1 MB make one of 20 MB, not of 1 GB."""
WAIT_SECONDS = 10.0
"""A reader waits this long for the projection to get to its sequence, then for its turn."""
MAX_OPEN = 4
"""Transactions at once, as many as there are reading threads; other readers wait their turn."""
SPOOL_AFTER_SECONDS = 0.5
"""A reader that takes nothing for this long is moved to a file. So is one that has had its
transaction for this long when all are taken."""
LOOK_SECONDS = 0.1
"""So often it is looked whether all are taken."""

_log = structlog.get_logger(__name__)


class DuckSnapshots:
    """Snapshots of the current tables."""

    def __init__(self, store: Store, projectors: Iterable[Projector]) -> None:
        self._store = store
        self._projectors = {projector.channel: projector for projector in projectors}
        self._places = asyncio.Semaphore(MAX_OPEN)

    @asynccontextmanager
    async def read(self, channel: str, query: Query, *, at_least: int) -> AsyncIterator[Snapshot]:
        """Open a snapshot at `at_least` or later; what is not yet folded is folded for it.

        Raises:
            Unavailable: the projection did not get there in time, cannot be read, or too many
                others read it.
        """
        await self._projectors[channel].caught_up(at_least, WAIT_SECONDS)
        async with AsyncExitStack() as held, background() as tasks:
            await self._take_place(held)
            snapshot = _Snapshot(self._store, self._places, held)
            await snapshot.begin(self._store.tables[channel], query)
            if snapshot.sequence < at_least:
                raise Unavailable("the projection is being rebuilt")
            tasks.start(snapshot.let_go(), name=f"snapshot of {channel}")
            try:
                yield snapshot
            finally:
                snapshot.close()

    async def _take_place(self, held: AsyncExitStack) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise Unavailable("too many others read the projection") from None
        held.callback(self._places.release)


class _Fetched(NamedTuple):
    """What one step in DuckDB gave."""

    rows: Chunk
    is_last: bool


class _Snapshot:
    """One query in one transaction. A chunk comes from DuckDB or, if there is one, from the file.

    Two take turns, step by step: the reader, which asks for chunks, and `let_go`, which moves
    them to the file once the reader is slow. What is in the file is older than what is not.
    """

    def __init__(self, store: Store, places: asyncio.Semaphore, held: AsyncExitStack) -> None:
        self._store = store
        self._places = places
        self._held = held
        """The place and the transaction; closed as soon as DuckDB has given the last row."""
        self._turn = asyncio.Lock()
        self._first: Chunk = []
        self._is_read = False
        self._spool: Spool | None = None
        self._failure: Unavailable | None = None
        self._opened_at = self._idle_since = time.monotonic()
        self.sequence = 0

    async def begin(self, tables: Tables, query: Query) -> None:
        """Read the watermark and the first chunk, for most queries the only one."""
        sql, parameters = select(tables, query)

        def step(connection: duckdb.DuckDBPyConnection) -> tuple[int, _Fetched]:
            sequence = watermark(connection, tables)
            connection.execute(sql, parameters)
            return sequence, _fetch(connection)

        self._reader = await self._held.enter_async_context(self._store.reader())
        self.sequence, fetched = await self._store.read(self._reader, step)
        self._first = await self._noted(fetched)
        self._opened_at = self._idle_since = time.monotonic()

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Iterate once over the rows in order."""
        while chunk := await self._next():
            yield chunk

    async def let_go(self) -> None:
        """Wait until the reader turns out to be slow; then move what it has not read to a file."""
        while not self._is_read:
            pause = self._let_go_in()
            if pause <= 0:
                await self._move_to_file()
                return
            await asyncio.sleep(min(pause, LOOK_SECONDS))

    def close(self) -> None:
        """Give the file back. Nobody waits for it: the removal of a large one takes a while."""
        if self._spool is not None:
            _ = asyncio.get_running_loop().run_in_executor(None, self._spool.close)

    async def _next(self) -> Chunk:
        async with self._turn:
            self._idle_since = math.inf
            try:
                return await self._oldest()
            finally:
                self._idle_since = time.monotonic()

    async def _oldest(self) -> Chunk:
        if self._failure is not None:
            raise self._failure
        if self._first:
            first, self._first = self._first, []
            return first
        if self._spool is not None and self._spool.has_unread:
            return await self._taken(self._spool)
        if self._is_read:
            return []
        return await self._noted(await self._store.read(self._reader, _fetch))

    async def _taken(self, spool: Spool) -> Chunk:
        try:
            return await asyncio.to_thread(spool.take)
        except OSError as error:
            raise Unavailable(f"the rest of the snapshot cannot be read: {error}") from error

    async def _noted(self, fetched: _Fetched) -> Chunk:
        """Return the rows; ends the transaction after the last one, sent or not."""
        if fetched.is_last:
            self._is_read = True
            await self._held.aclose()
        return fetched.rows

    def _let_go_in(self) -> float:
        """Return the seconds until the transaction is to be given up, as things are now."""
        since = self._opened_at if self._places.locked() else self._idle_since
        return min(since, self._idle_since) + SPOOL_AFTER_SECONDS - time.monotonic()

    async def _move_to_file(self) -> None:
        self._spool = spool = Spool(self._store.path.parent)
        try:
            while not self._is_read:
                async with self._turn:
                    await self._move_chunk(spool)
        except (OSError, Unavailable) as error:
            _log.exception("snapshot_spool_failed", bytes=spool.written_bytes)
            self._failure = Unavailable(f"the rest of the snapshot cannot be kept: {error}")
            self.close()
            await self._held.aclose()

    async def _move_chunk(self, spool: Spool) -> None:
        def step(connection: duckdb.DuckDBPyConnection) -> _Fetched:
            fetched = _fetch(connection)
            spool.put(fetched.rows)
            return fetched

        if not self._is_read:
            await self._noted(await self._store.read(self._reader, step))


def _fetch(connection: duckdb.DuckDBPyConnection) -> _Fetched:
    """Fetch a chunk: a few rows, then as many as there is room for if the others are like them."""
    rows: Chunk = connection.fetchmany(BLOCK_ROWS)
    if len(rows) < BLOCK_ROWS:
        return _Fetched(rows, is_last=True)
    size = 1 + sum([len(text) for _, text in rows])
    room = min(CHUNK_ROWS, CHUNK_BYTES * BLOCK_ROWS // size) - BLOCK_ROWS
    if room <= 0:
        return _Fetched(rows, is_last=False)
    rest = connection.fetchmany(room)
    return _Fetched(rows + rest, is_last=len(rest) < room)


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
