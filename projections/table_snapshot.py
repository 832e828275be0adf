"""TableSnapshot: the rows of one query at one sequence, produced once and read by many.

Watermark and rows are read in one transaction, so they agree however busy the writer is. The rows
move to a spool as fast as DuckDB finds them, and all readers read them from there: the transaction
never waits for a reader (ADR-19).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import structlog

from eventhub.errors import Rejected, Unavailable
from eventhub.snapshots import Render
from projections.pace import Pace
from projections.pages import Page, pages, selected_json
from projections.price import Question
from projections.progress import read_watermark
from projections.room import Holding, NoRoom
from projections.shares import Shares
from projections.spool import Spool
from projections.store import Connection, Store

CHUNK_ROWS = 1000
CHUNK_BYTES = 240 << 10
"""A chunk has about this size at most; to weigh every row would cost a tenth of the throughput."""
BLOCK_ROWS = 20
"""Only the first rows of a chunk are weighed: rows of 1 MB make a chunk of 20 MB, not of 1 GB."""
STEP_BYTES = 1 << 20
"""Produced before readers are notified: to notify them of every chunk costs a tenth more."""
ROOM_SECONDS = 12.0
"""The producer waits this long for room, and keeps its slot meanwhile: a bit longer than it takes
to notice slow readers."""
QUERY_SECONDS = 30.0
"""DuckDB is interrupted if it takes longer to find the first rows, or the rows of a later step."""
STEP_SECONDS = 60.0
"""A reader waits this long for the next rows; after that, DuckDB or the disk hangs."""

T = TypeVar("T")
logger = structlog.get_logger(__name__)


class TableSnapshot:
    """One query in one transaction. `produce` moves its rows to the spool."""

    def __init__(
        self,
        store: Store,
        held: AsyncExitStack,
        spool: Spool,
        holding: Holding,
        render: Render,
        shares: Shares,
    ) -> None:
        """Prepare; `begin` runs the query.

        Args:
            store: holds the tables.
            held: the slot; the transaction is added to it. It is closed after the last row.
            spool: receives the rendered rows.
            holding: accounts for the bytes in the spool.
            render: makes bytes of the rows of a chunk.
            shares: limits the parts that readers take in one turn of the event loop.
        """
        self._store = store
        self._held = held
        self._spool = spool
        self.holding = holding
        self._is_small = False
        """Whether it may continue without room, because it keeps its slot for a moment only."""
        self._render = render
        self._shares = shares
        self._failure: Unavailable | None = None
        self._pages: Iterator[Page] = iter(())
        """The pages that remain to be read."""
        self._progress = asyncio.Event()
        """Set at the next step, and then replaced."""
        self.sequence = 0
        self.completed_at: float | None = None
        """When the last row was produced, by the monotonic clock."""

    @property
    def size(self) -> int:
        """Bytes produced so far."""
        return self._spool.size

    async def begin(self, question: Question, up_to_rows: int | None = None) -> bool:
        """Read the watermark and the first chunk, which for most queries is the only one.

        Returns:
            False if there are more rows than `up_to_rows`: then nothing was begun.
        """

        def step(connection: Connection) -> tuple[int, bool] | None:
            if up_to_rows is not None and question.is_more_than(up_to_rows, connection):
                return None
            question.check(connection)
            channel = question.tables.channel.name
            sequence = read_watermark(connection, channel)
            if question.query.as_of is not None:
                sequence = min(sequence, question.query.as_of)
            self._pages = pages(
                connection,
                question.tables,
                question.query,
                select=selected_json(question.tables, question.query, row_head=question.row_head),
                text_bytes=self._store.text_bytes(channel),
                memory_bytes=self._store.memory_bytes,
            )
            self._next_page(connection)
            return sequence, self._move(connection, up_to=1)

        self._reader = await self._held.enter_async_context(self._store.reader())
        found = await self._run(step)
        if found is None:
            return False
        self._is_small = up_to_rows is not None
        self.sequence, is_last = found
        await self._advance(is_last)
        return True

    async def produce(self) -> None:
        """Move the rows to the spool; after the last one, or a failure, end the transaction."""
        try:
            while self.completed_at is None:
                if not self._is_small:
                    await self.holding.wait(ROOM_SECONDS)
                await self._advance(await self._run(self._step))
        except NoRoom as error:
            await self._fail(error)
        except Exception as error:
            logger.exception("snapshot_failed", bytes=self._spool.size)
            failure = Unavailable(f"the rest of the snapshot cannot be kept: {error}")
            failure.__cause__ = error
            await self._fail(failure)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """Iterate over the bytes; each reader has its own iterator."""
        async with self.holding.reading() as pace:
            yield self._parts(pace)

    # --- Producing ------------------------------------------------------------------------------

    async def _run(self, step: Callable[[Connection], T]) -> T:
        try:
            async with asyncio.timeout(QUERY_SECONDS):
                return await self._store.read(self._reader, step)
        except TimeoutError:
            raise Rejected(
                "too_costly", f"the rows were not found in {QUERY_SECONDS:.0f} s: ask for fewer"
            ) from None

    def _step(self, connection: Connection) -> bool:
        return self._move(connection, up_to=self._spool.size + STEP_BYTES)

    def _move(self, connection: Connection, up_to: int) -> bool:
        """Move chunks until the spool has a size; return True after the last row."""
        while self._spool.size < up_to:
            rows, is_last = _fetch(connection)
            if rows:
                before = self._spool.size
                self._spool.append(self._render(rows))
                self.holding.grow(self._spool.size - before)
            if is_last and not self._next_page(connection):
                return True
        return False

    def _next_page(self, connection: Connection) -> bool:
        """Run the query of the next page; False if there is none."""
        page = next(self._pages, None)
        if page is None:
            return False
        connection.execute(page.sql, page.parameters)
        return True

    async def _advance(self, is_last: bool) -> None:
        """Notify readers of a step; after the last row, end the transaction before."""
        if is_last:
            await self._held.aclose()
            self.completed_at = time.monotonic()
        self._notify()

    async def _fail(self, failure: Unavailable) -> None:
        self._failure = failure
        await self._held.aclose()
        self._notify()

    def _notify(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    # --- Reading --------------------------------------------------------------------------------

    async def _parts(self, pace: Pace) -> AsyncIterator[bytes]:
        offset = 0
        while await self._reaches(offset):
            if offset:  # most answers have one part, which does not wait
                await self._shares.wait()
            part = await self._part(offset)
            offset += len(part)
            pace.give(len(part))
            yield part
            pace.take()
        pace.give(0)  # the reader may not have taken all of the last part

    async def _reaches(self, offset: int) -> bool:
        """Wait until there are bytes at an offset; False if there never will be."""
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


def _fetch(connection: Connection) -> tuple[list[bytes], bool]:
    """Fetch a chunk: first a few rows, then as many as fit if the others are as large.

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
