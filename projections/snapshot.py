"""Snapshot: the rows of a query at a known sequence. Implements `eventhub.snapshots`.

An open transaction is expensive: while it lasts, DuckDB holds the sorted rows in memory, and all
rows that were deleted since. So few are open at the same time, and each ends as soon as its rows
are in a spool (ADR-19). This module decides which query may begin when; `table_snapshot` runs it.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from eventhub.audit.history import Page
from eventhub.background import background
from eventhub.errors import Unavailable
from eventhub.filters.query import Query
from eventhub.metrics import SNAPSHOTS
from eventhub.slots import Slots
from eventhub.snapshots import Render, RowHead, Snapshot
from projections.past import page_of
from projections.price import QUICK_ROWS, Question, Sizes, price_of
from projections.projector import Projector
from projections.room import Holding, Room
from projections.shares import Shares
from projections.spool import Memory, Spool
from projections.store import Store
from projections.table_snapshot import TableSnapshot

MEMORY_BYTES = 64 << 20
"""All snapshots together keep this much in memory; the rest is in files."""
EACH_BYTES, ALL_BYTES = 256 << 20, 1 << 30
"""This much may wait for the readers of one client, and of all clients, in memory and on disk. The
largest snapshot does not count."""
WAIT_SECONDS = 10.0
"""A read waits this long for the projection to reach its sequence, then for its slot."""
LARGE_WAIT_SECONDS = 40.0
"""A read of many rows, or one that searches many, waits this long for room, then for its slot."""
FEW_EVENTS = 5_000_000
"""To search so many for one row takes a tenth of a second at most."""
FEW_ROWS = 20
"""A client without room may still read this many rows; no more are fetched at once."""
SMALL_SLOTS = 2
"""Transactions for cheap queries with few rows, which never wait for the others."""
LARGE_SLOTS = 3
"""Transactions for all other queries; one client has at most one fewer."""
SMALL_WAITING, LARGE_WAITING = 5000, 20
"""Reads of one client that may wait for a slot."""


class DuckSnapshots:
    """Snapshots of the current tables."""

    def __init__(self, store: Store, projectors: Iterable[Projector]) -> None:
        self._store = store
        self._projectors = {projector.channel: projector for projector in projectors}
        what = "read the projection"
        self._small = Slots(SMALL_SLOTS, each=SMALL_SLOTS, waiting=SMALL_WAITING, what=what)
        each = max(LARGE_SLOTS - 1, 1)
        self._large = Slots(LARGE_SLOTS, each=each, waiting=LARGE_WAITING, what=what)
        self._sizes = Sizes(store)
        self._memory = Memory(MEMORY_BYTES)
        self._room = Room(EACH_BYTES, ALL_BYTES)
        self._shares = Shares()

    def add(self, projector: Projector) -> None:
        """Answer reads of one more channel."""
        self._projectors[projector.channel] = projector

    def sequence_of(self, channel: str) -> int:
        """See `Snapshots`."""
        return self._projectors[channel].watermark

    @asynccontextmanager
    async def read(
        self,
        channel: str,
        query: Query,
        render: Render,
        *,
        row_head: RowHead,
        at_least: int,
        client: Hashable = None,
    ) -> AsyncIterator[Snapshot]:
        """Open a snapshot at `at_least` or later; events up to there are folded if they are not.

        Raises:
            Rejected: `too_costly`.
            Unavailable: the projection did not reach `at_least` in time, cannot be read, or is
                read by too many others; `too_many_reads`: too much waits for readers.
        """
        await self._projectors[channel].caught_up(at_least, WAIT_SECONDS)
        price = price_of(query, await self._sizes.of(channel))
        async with AsyncExitStack() as held, background() as tasks:
            spool = Spool(self._store.path.parent, self._memory)
            holding = self._room.holding(client)
            snapshot = TableSnapshot(self._store, held, spool, holding, render, self._shares)
            question = Question(self._store.tables[channel], query, row_head, price)
            try:
                await self._begin(snapshot, question, held, client)
                if snapshot.sequence < at_least:
                    raise Unavailable("the projection is being rebuilt")
                tasks.start(snapshot.produce(), name=f"snapshot of {channel}")
                yield snapshot
            finally:
                # Not awaited, because removing a large file takes a while.
                _ = asyncio.get_running_loop().run_in_executor(None, _end, spool, holding)

    async def versions(
        self, channel: str, row_id: str, *, after: int, up_to: int, client: Hashable = None
    ) -> Page:
        """Return versions of a row; see `Snapshots`."""
        await self._projectors[channel].caught_up(up_to, WAIT_SECONDS)
        slots = self._small if up_to <= FEW_EVENTS else self._large
        async with slots.take(client, WAIT_SECONDS):
            tables = self._store.tables[channel]
            page = await page_of(self._store, tables, row_id, after=after, up_to=up_to)
        if self._store.progress(channel).head < up_to:
            raise Unavailable("the projection is being rebuilt")
        return page

    async def _begin(
        self, snapshot: TableSnapshot, question: Question, held: AsyncExitStack, client: Hashable
    ) -> None:
        """Begin in a small slot if the query may be small, otherwise in a large one."""
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


def _end(spool: Spool, holding: Holding) -> None:
    try:
        spool.close()
    finally:
        holding.leave()
