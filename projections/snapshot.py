"""Snapshot: the rows of a query at a known sequence. Implements `eventhub.snapshots`.

Watermark and rows are read in one transaction, so they agree however busy the writer is.

An open transaction is dear: while it lasts DuckDB holds the sorted rows in memory, and all that is
deleted since. So few are open at once, and each lasts only until its rows are in a spool, which is
as long as DuckDB takes to give them: no reader is waited for (ADR-19).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import duckdb
import structlog

from eventhub.background import background
from eventhub.errors import Unavailable
from eventhub.filters import Query
from eventhub.metrics import SNAPSHOTS
from eventhub.snapshots import Render, Snapshot
from projections.pages import Page, pages
from projections.projector import Projector
from projections.spool import Memory, Spool
from projections.store import Store
from projections.tables import Tables

CHUNK_ROWS = 1000
CHUNK_BYTES = 240 << 10
"""About what a chunk holds at most; to weigh every row would cost a tenth of the throughput."""
BLOCK_ROWS = 20
"""The first rows of a chunk, which are weighed: rows of 1 MB make one of 20 MB, not of 1 GB."""
STEP_BYTES = 1 << 20
"""What is produced before the readers are told: one by one, chunks cost a tenth more."""
MEMORY_BYTES = 64 << 20
"""What all snapshots together keep in memory; the rest is in files."""
WAIT_SECONDS = 10.0
"""A reader waits this long for the projection to get to its sequence, then for its turn."""
STEP_SECONDS = 60.0
"""A reader waits this long for the next rows: DuckDB, or the disk, has hung."""
MAX_OPEN = 4
"""Transactions at once, as many as there are reading threads; other readers wait their turn."""

_log = structlog.get_logger(__name__)


class DuckSnapshots:
    """Snapshots of the current tables."""

    def __init__(self, store: Store, projectors: Iterable[Projector]) -> None:
        self._store = store
        self._projectors = {projector.channel: projector for projector in projectors}
        self._places = asyncio.Semaphore(MAX_OPEN)
        self._memory = Memory(MEMORY_BYTES)

    @asynccontextmanager
    async def read(
        self, channel: str, query: Query, render: Render, *, sequenced: bool, at_least: int
    ) -> AsyncIterator[Snapshot]:
        """Open a snapshot at `at_least` or later; what is not yet folded is folded for it.

        Raises:
            Unavailable: the projection did not get there in time, cannot be read, or too many
                others read it.
        """
        await self._projectors[channel].caught_up(at_least, WAIT_SECONDS)
        async with AsyncExitStack() as held, background() as tasks:
            await self._take_place(held)
            SNAPSHOTS.labels(channel).inc()
            spool = Spool(self._store.path.parent, self._memory)
            snapshot = _Snapshot(self._store, held, spool, render)
            try:
                tables = self._store.tables[channel]
                await snapshot.begin(tables, query, sequenced=sequenced)
                if snapshot.sequence < at_least:
                    raise Unavailable("the projection is being rebuilt")
                tasks.start(snapshot.produce(), name=f"snapshot of {channel}")
                yield snapshot
            finally:
                # Nobody waits for it: the removal of a large file takes a while.
                _ = asyncio.get_running_loop().run_in_executor(None, spool.close)

    async def _take_place(self, held: AsyncExitStack) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise Unavailable("too many others read the projection") from None
        held.callback(self._places.release)


class _Snapshot:
    """One query in one transaction. `produce` moves it to the spool, from where all read it."""

    def __init__(self, store: Store, held: AsyncExitStack, spool: Spool, render: Render) -> None:
        self._store = store
        self._held = held
        """The place and the transaction; closed as soon as DuckDB has given the last row."""
        self._spool = spool
        self._render = render
        self._failure: Unavailable | None = None
        self._pages: Iterator[Page] = iter(())
        """Those that are still to be read."""
        self._progress = asyncio.Event()
        """Set at the next step, and then replaced."""
        self.sequence = 0
        self.completed_at: float | None = None

    @property
    def size(self) -> int:
        """Bytes that were produced so far."""
        return self._spool.size

    async def begin(self, tables: Tables, query: Query, *, sequenced: bool) -> None:
        """Read the watermark and the first chunk, for most queries the only one."""

        def step(connection: duckdb.DuckDBPyConnection) -> tuple[int, bool]:
            sequence = watermark(connection, tables)
            self._pages = pages(
                connection,
                tables,
                query,
                sequenced=sequenced,
                text_bytes=self._store.text_bytes(tables.channel.name),
                memory_bytes=self._store.memory_bytes,
            )
            self._turn_page(connection)
            return sequence, self._move(connection, up_to=1)

        self._reader = await self._held.enter_async_context(self._store.reader())
        self.sequence, is_last = await self._store.read(self._reader, step)
        await self._note(is_last)

    async def produce(self) -> None:
        """Move what DuckDB has to the spool; then, or when that fails, end the transaction."""
        try:
            while self.completed_at is None:
                await self._note(await self._store.read(self._reader, self._step))
        except Exception as error:  # noqa: BLE001 - whatever it is, each reader is told of it
            _log.exception("snapshot_failed", bytes=self._spool.size)
            self._failure = Unavailable(f"the rest of the snapshot cannot be kept: {error}")
            self._failure.__cause__ = error
            await self._held.aclose()
            self._tell()

    async def parts(self) -> AsyncIterator[bytes]:
        """Iterate over the bytes; each reader has an iterator of its own."""
        offset = 0
        while await self._reaches(offset):
            part = await self._part(offset)
            offset += len(part)
            yield part

    def _step(self, connection: duckdb.DuckDBPyConnection) -> bool:
        return self._move(connection, up_to=self._spool.size + STEP_BYTES)

    def _move(self, connection: duckdb.DuckDBPyConnection, up_to: int) -> bool:
        """Move chunks to the spool until it has a size; tell whether there are no more."""
        while self._spool.size < up_to:
            rows, is_last = _fetch(connection)
            if rows:
                self._spool.append(self._render(rows))
            if is_last and not self._turn_page(connection):
                return True
        return False

    def _turn_page(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Begin the next page; False if there is none."""
        page = next(self._pages, None)
        if page is None:
            return False
        connection.execute(page.sql, page.parameters)
        return True

    async def _note(self, is_last: bool) -> None:
        """End the transaction after the last row, sent or not; wake those who wait for more."""
        if is_last:
            await self._held.aclose()
            self.completed_at = time.monotonic()
        self._tell()

    def _tell(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    async def _reaches(self, offset: int) -> bool:
        """Wait until there is something at an offset; False if there never will be."""
        while self._spool.size <= offset:
            if self._failure is not None:
                raise self._failure
            if self.completed_at is not None:
                return False
            try:
                async with asyncio.timeout(STEP_SECONDS):
                    await self._progress.wait()
            except TimeoutError:
                raise Unavailable("the projection does not answer") from None
        return True

    async def _part(self, offset: int) -> bytes:
        if (kept := self._spool.kept(offset)) is not None:
            return kept
        try:
            return await asyncio.to_thread(self._spool.read, offset)
        except OSError as error:
            raise Unavailable(f"the rest of the snapshot cannot be read: {error}") from error


def _fetch(connection: duckdb.DuckDBPyConnection) -> tuple[list[bytes], bool]:
    """Fetch a chunk: a few rows, then as many as there is room for if the others are like them.

    Returns:
        The rows, and whether they are the last ones of the page.
    """
    rows = [row for (row,) in connection.fetchmany(BLOCK_ROWS)]
    if len(rows) < BLOCK_ROWS:
        return rows, True
    size = 1 + sum(map(len, rows))
    room = min(CHUNK_ROWS, CHUNK_BYTES * BLOCK_ROWS // size) - BLOCK_ROWS
    if room <= 0:
        return rows, False
    rest = [row for (row,) in connection.fetchmany(room)]
    return rows + rest, len(rest) < room


def watermark(connection: duckdb.DuckDBPyConnection, tables: Tables) -> int:
    """Return the sequence that the current table of the transaction is at."""
    found = connection.execute(
        "SELECT seq FROM main._watermark WHERE channel = ?", [tables.channel.name]
    ).fetchall()
    return int(found[0][0]) if found else 0
