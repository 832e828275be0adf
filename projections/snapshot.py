"""Snapshot: the rows of a query at a known sequence. Implements `eventhub.snapshots`.

Watermark and rows are read in one transaction, so they agree however busy the writer is.

An open transaction is dear: while it lasts DuckDB holds the sorted rows in memory, and all that is
deleted since. So few are open at once, and each lasts only until its rows are in a spool, which is
as long as DuckDB takes to give them: no reader is waited for (ADR-19).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import duckdb
import structlog

from eventhub.background import background
from eventhub.errors import Rejected, Unavailable
from eventhub.filters.query import Query
from eventhub.metrics import SNAPSHOTS
from eventhub.slots import Slots
from eventhub.snapshots import Render, Snapshot
from projections.pace import Pace
from projections.pages import Page, pages, selected_json
from projections.price import QUICK_ROWS, Question, Sizes, price_of
from projections.projector import Projector
from projections.room import Holding, NoRoom, Room
from projections.shares import Shares
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
EACH_BYTES, ALL_BYTES = 256 << 20, 1 << 30
"""What waits for the readers of one client, and of all, beside the largest snapshot, in memory and
on disk."""
WAIT_SECONDS = 10.0
"""A reader waits this long for the projection to get to its sequence, then for its turn."""
LARGE_WAIT_SECONDS = 40.0
"""It waits this long for room, then for its turn, where many rows are read or looked through."""
ROOM_SECONDS = 12.0
"""A snapshot that is being made waits this long for room, in which others do not get its place: a
bit longer than it takes to see who is slow."""
FEW_ROWS = 20
"""Are read at any rate, also by a client that has no room: no more are fetched at once."""
QUERY_SECONDS = 30.0
"""DuckDB has found the first rows by then, and each next step of them, or is interrupted."""
STEP_SECONDS = 60.0
"""A reader waits this long for the next rows: DuckDB, or the disk, has hung."""
SMALL_PLACES = 2
"""Transactions at once for what is cheap and gives few rows: it never waits for what is not."""
LARGE_PLACES = 3
"""Transactions at once for all else; a client has one fewer at the most."""
SMALL_WAITING, LARGE_WAITING = 5000, 20
"""Reads of one client that may wait for their turn."""

T = TypeVar("T")
logger = structlog.get_logger(__name__)


class DuckSnapshots:
    """Snapshots of the current tables."""

    def __init__(self, store: Store, projectors: Iterable[Projector]) -> None:
        self._store = store
        self._projectors = {projector.channel: projector for projector in projectors}
        what = "read the projection"
        self._small = Slots(SMALL_PLACES, each=SMALL_PLACES, waiting=SMALL_WAITING, what=what)
        each = max(LARGE_PLACES - 1, 1)
        self._large = Slots(LARGE_PLACES, each=each, waiting=LARGE_WAITING, what=what)
        self._sizes = Sizes(store)
        self._memory = Memory(MEMORY_BYTES)
        self._room = Room(EACH_BYTES, ALL_BYTES)
        self._shares = Shares()

    @asynccontextmanager
    async def read(
        self,
        channel: str,
        query: Query,
        render: Render,
        *,
        sequenced: bool,
        at_least: int,
        client: Hashable = None,
    ) -> AsyncIterator[Snapshot]:
        """Open a snapshot at `at_least` or later; what is not yet folded is folded for it.

        Raises:
            Rejected: `too_costly`.
            Unavailable: the projection did not get there in time, cannot be read, or too many
                others read it; `too_many_reads`: too much waits for readers.
        """
        await self._projectors[channel].caught_up(at_least, WAIT_SECONDS)
        price = price_of(query, await self._sizes.of(channel))
        async with AsyncExitStack() as held, background() as tasks:
            spool = Spool(self._store.path.parent, self._memory)
            holding = self._room.holding(client)
            snapshot = _Snapshot(self._store, held, spool, holding, render, self._shares)
            question = Question(self._store.tables[channel], query, sequenced, price)
            try:
                await self._begin(snapshot, question, held, client)
                if snapshot.sequence < at_least:
                    raise Unavailable("the projection is being rebuilt")
                tasks.start(snapshot.produce(), name=f"snapshot of {channel}")
                yield snapshot
            finally:
                # Nobody waits for it: the removal of a large file takes a while.
                _ = asyncio.get_running_loop().run_in_executor(None, _end, spool, holding)

    async def _begin(
        self, snapshot: "_Snapshot", question: Question, held: AsyncExitStack, client: Hashable
    ) -> None:
        """Begin among the small ones, if it may be one, and else among the large ones."""
        opened = SNAPSHOTS.labels(question.tables.channel.name)
        if question.price.is_quick:
            await held.enter_async_context(self._small.take(client, WAIT_SECONDS))
            opened.inc()
            has_room = snapshot.holding.has_room
            if await snapshot.begin(question, up_to_rows=QUICK_ROWS if has_room else FEW_ROWS):
                return
            await held.aclose()
        await snapshot.holding.begin(LARGE_WAIT_SECONDS)
        await held.enter_async_context(self._large.take(client, LARGE_WAIT_SECONDS))
        if not question.price.is_quick:
            opened.inc()
        await snapshot.begin(question)


class _Snapshot:
    """One query in one transaction. `produce` moves it to the spool, from where all read it."""

    def __init__(
        self,
        store: Store,
        held: AsyncExitStack,
        spool: Spool,
        holding: Holding,
        render: Render,
        shares: Shares,
    ) -> None:
        self._store = store
        self._held = held
        """The place and the transaction; closed as soon as DuckDB has given the last row."""
        self._spool = spool
        self.holding = holding
        self._is_small = False
        """It may go on without waiting for room, and so keeps its place for a moment only."""
        self._render = render
        self._shares = shares
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

    async def begin(self, question: Question, up_to_rows: int | None = None) -> bool:
        """Read the watermark and the first chunk, for most queries the only one.

        Returns:
            False if there are more rows than `up_to_rows`: nothing was begun.
        """

        def step(connection: duckdb.DuckDBPyConnection) -> tuple[int, bool] | None:
            if up_to_rows is not None and question.is_more_than(up_to_rows, connection):
                return None
            question.check(connection)
            sequence = watermark(connection, question.tables)
            self._pages = pages(
                connection,
                question.tables,
                question.query,
                select=selected_json(question.tables, question.query, sequenced=question.sequenced),
                text_bytes=self._store.text_bytes(question.tables.channel.name),
                memory_bytes=self._store.memory_bytes,
            )
            self._turn_page(connection)
            return sequence, self._move(connection, up_to=1)

        self._reader = await self._held.enter_async_context(self._store.reader())
        found = await self._run(step)
        if found is None:
            return False
        self._is_small = up_to_rows is not None
        self.sequence, is_last = found
        await self._note(is_last)
        return True

    async def _run(self, step: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        try:
            async with asyncio.timeout(QUERY_SECONDS):
                return await self._store.read(self._reader, step)
        except TimeoutError:
            raise Rejected(
                "too_costly", f"the rows were not found in {QUERY_SECONDS:.0f} s: ask for fewer"
            ) from None

    async def produce(self) -> None:
        """Move what DuckDB has to the spool; then, or when that fails, end the transaction."""
        try:
            while self.completed_at is None:
                if not self._is_small:
                    await self.holding.wait(ROOM_SECONDS)
                await self._note(await self._run(self._step))
        except NoRoom as error:
            await self._fail(error)
        except Exception as error:
            logger.exception("snapshot_failed", bytes=self._spool.size)
            failure = Unavailable(f"the rest of the snapshot cannot be kept: {error}")
            failure.__cause__ = error
            await self._fail(failure)

    async def _fail(self, failure: Unavailable) -> None:
        self._failure = failure
        await self._held.aclose()
        self._tell()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """Iterate over the bytes; each reader has an iterator of its own."""
        async with self.holding.reading() as pace:
            yield self._parts(pace)

    async def _parts(self, pace: Pace) -> AsyncIterator[bytes]:
        offset = 0
        while await self._reaches(offset):
            if offset:  # most answers have one part, and wait for nobody
                await self._shares.wait()
            part = await self._part(offset)
            offset += len(part)
            pace.give(len(part))
            yield part
            pace.take()
        pace.give(0)  # of what it was given it may not have taken all

    def _step(self, connection: duckdb.DuckDBPyConnection) -> bool:
        return self._move(connection, up_to=self._spool.size + STEP_BYTES)

    def _move(self, connection: duckdb.DuckDBPyConnection, up_to: int) -> bool:
        """Move chunks to the spool until it has a size; tell whether there are no more."""
        while self._spool.size < up_to:
            rows, is_last = _fetch(connection)
            if rows:
                before = self._spool.size
                self._spool.append(self._render(rows))
                self.holding.grow(self._spool.size - before)
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


def _end(spool: Spool, holding: Holding) -> None:
    try:
        spool.close()
    finally:
        holding.leave()


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
