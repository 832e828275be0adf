"""Replay: snapshots of one channel that are shared by the readers who ask for the same.

Whoever comes while a replay is being read, or just after, reads it from its first byte if it is
still of today's rows, or is with new rows after its last: so it has all that was acknowledged
before it came, as rows. Fifty clients that reconnect at once cost DuckDB one snapshot (ADR-19).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from eventhub.background import Background
from eventhub.delivery import frames as protocol
from eventhub.delivery.fold import Fold
from eventhub.delivery.frames import Form
from eventhub.delivery.view import View
from eventhub.errors import Unavailable
from eventhub.feed import Feed
from eventhub.filters.query import Query
from eventhub.snapshots import Render, Snapshot, Snapshots

JOINABLE_SECONDS = 1.0
"""A replay that nobody reads may be joined this long after its last row was produced."""
MAX_UNREAD = 100
MAX_UNREAD_BYTES = 64 << 20
"""Of replays that nobody reads, and somebody may still join; others end with their last reader."""
MAX_FOLDED = 1000
"""Events after a snapshot that are folded for who joins it; with more a new one is as cheap."""
OPEN_SECONDS = 60.0
"""DuckDB has sorted any table and given the first rows by then, or has hung."""


class RowFormat(NamedTuple):
    """What rows are made of for their readers."""

    name: str
    """Equal for equal bytes."""
    render: Render
    sequenced: bool


def frames_format(form: Form) -> RowFormat:
    """Return the row_format of rows that are frames."""
    return RowFormat(form.value, protocol.rows(form), form.sequenced)


class Key(NamedTuple):
    """Readers of one replay ask for the same."""

    name: str
    query: Query


@dataclass(frozen=True, slots=True)
class Past:
    """The rows of a view as one reader gets them, at `sequence`."""

    sequence: int
    _rows: AsyncIterator[bytes]
    _added: bytes
    """Rows that are newer than the snapshot."""

    async def parts(self) -> AsyncIterator[bytes]:
        """Iterate over the bytes; errors as `Snapshot.reading`."""
        async for part in self._rows:
            yield part
        if self._added:
            yield self._added


class Replays:
    """The replays of one channel that may be joined."""

    def __init__(self, snapshots: Snapshots, feed: Feed, tasks: Background) -> None:
        self._snapshots = snapshots
        self._feed = feed
        self._tasks = tasks
        self._open: dict[Key, _Replay] = {}
        self._kept = self._kept_bytes = 0
        """Of those that nobody read when they were complete."""
        self._pending: dict[tuple[Key, Hashable], _Replay] = {}
        """By who asked first: nobody waits for its turn behind another client's other wishes."""

    @asynccontextmanager
    async def open(
        self, view: View, head: int, *, row_format: RowFormat | None = None, client: Hashable = None
    ) -> AsyncIterator[Past]:
        """Open the current rows of a view as of `head` or later: of a replay there is, or anew.

        Args:
            view: which rows.
            head: a sequence that they must have seen.
            row_format: of the rows; by default frames of the view.
            client: on whose account they are read.

        Raises:
            Unavailable: it cannot be read now; `slow_reader`: the block took too long.
        """
        row_format = row_format or frames_format(view.form)
        key = Key(row_format.name, view.query)
        while True:
            replay = self._current(key, row_format, head, client)
            with replay.reading():
                snapshot = await self._opened(replay)
                added = (
                    None
                    if snapshot is None
                    else await self._added(snapshot, view, row_format, head)
                )
                if snapshot is not None and added is not None:
                    async with snapshot.reading() as rows:
                        yield Past(max(snapshot.sequence, head), rows, added)
                    return
            if snapshot is not None:
                self._forget(replay)

    def _current(self, key: Key, row_format: RowFormat, head: int, client: Hashable) -> "_Replay":
        replay = self._open.get(key)
        if replay is not None and replay.is_joinable:
            return replay
        replay = self._pending.get((key, client))
        if replay is None or not replay.is_joinable:
            replay = self._pending[key, client] = _Replay(key, client)
            replay.task = self._tasks.spawn(self._run(replay, row_format, head))
        return replay

    async def _opened(self, replay: "_Replay") -> Snapshot | None:
        """Wait for a snapshot; None if there is one by now that another client began.

        Raises:
            Unavailable: it cannot be read now.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(OPEN_SECONDS):
                await replay.settled.wait()
        if replay.is_overtaken and not replay.is_open:
            return None
        return replay.snapshot()

    async def _added(
        self, snapshot: Snapshot, view: View, row_format: RowFormat, head: int
    ) -> bytes | None:
        """Return the rows since a snapshot, rendered; None if it is too old."""
        feed, position = self._feed, snapshot.sequence
        if position >= head:
            return b""
        if head - position > MAX_FOLDED:
            return None
        try:
            await feed.reached(head, JOINABLE_SECONDS)
        except TimeoutError:
            return None
        fold = Fold(view, position)
        while position < head:
            events = feed.recent(position)
            if events is None:
                return None
            if not fold.add(stored for stored in events if stored.sequence <= head):
                return None
            position = events[-1].sequence if events else head
            await asyncio.sleep(0)
        rows = fold.rows(sequenced=row_format.sequenced)
        return row_format.render(rows) if rows else b""

    def _forget(self, replay: "_Replay") -> None:
        """Let nobody join it any more; those who read it read on."""
        if self._open.get(replay.key) is replay:
            del self._open[replay.key]
        if self._pending.get((replay.key, replay.client)) is replay:
            del self._pending[replay.key, replay.client]

    async def _run(self, replay: "_Replay", row_format: RowFormat, head: int) -> None:
        """Hold a snapshot open as long as it is needed."""
        try:
            async with self._snapshots.read(
                self._feed.stream.channel.name,
                replay.key.query,
                row_format.render,
                sequenced=row_format.sequenced,
                at_least=head,
                client=replay.client,
            ) as snapshot:
                self._forget(replay)
                self._open[replay.key] = replay
                replay.settle(snapshot)
                self._overtake(replay.key)
                await self._until_not_needed(replay)
                self._forget(replay)
        except Exception as error:  # noqa: BLE001 - raised in each of its readers
            replay.settle(error)
        finally:
            self._forget(replay)

    def _overtake(self, key: Key) -> None:
        """Have those look who wait for the same on another account."""
        for (other, _), replay in list(self._pending.items()):
            if other == key:
                self._forget(replay)
                replay.overtake()

    async def _until_not_needed(self, replay: "_Replay") -> None:
        while True:
            await replay.unread.wait()
            seconds, size = replay.unread_seconds, replay.snapshot().size
            if seconds <= 0 or not self._may_keep(replay, size):
                return
            self._kept, self._kept_bytes = self._kept + 1, self._kept_bytes + size
            try:
                await asyncio.sleep(seconds)
            finally:
                self._kept, self._kept_bytes = self._kept - 1, self._kept_bytes - size

    def _may_keep(self, replay: "_Replay", size: int) -> bool:
        """Tell whether a replay that nobody reads may wait for others to join it."""
        return (
            self._open.get(replay.key) is replay
            and self._kept < MAX_UNREAD
            and self._kept_bytes + size <= MAX_UNREAD_BYTES
        )


class _Replay:
    """One snapshot, those who read it, and how long others may join them."""

    task: asyncio.Task[None]

    def __init__(self, key: Key, client: Hashable) -> None:
        self.key = key
        self.client = client
        self.unread = asyncio.Event()
        """Set while nobody reads it."""
        self.settled = asyncio.Event()
        """It is open, or never will be."""
        self.is_overtaken = False
        """Another client's for the same was open first."""
        self._readers = 0
        self._outcome: Snapshot | Exception = Unavailable("the projection does not answer")

    def settle(self, outcome: Snapshot | Exception) -> None:
        """Tell the readers that the snapshot is open, or why it is not."""
        self._outcome = outcome
        self.settled.set()

    def overtake(self) -> None:
        """Send the readers to another one; the last to go ends this."""
        self.is_overtaken = True
        self.settled.set()

    @property
    def is_open(self) -> bool:
        """Tell whether there is a snapshot."""
        return not isinstance(self._outcome, Exception)

    def snapshot(self) -> Snapshot:
        """Return the snapshot.

        Raises:
            Unavailable: it cannot be read now.
        """
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count a reader. The last one to leave ends what is not yet open."""
        self._readers += 1
        self.unread.clear()
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self.unread.set()
                if not self.is_open:
                    self.task.cancel()

    @property
    def is_joinable(self) -> bool:
        """Tell whether somebody may still join it."""
        if isinstance(self._outcome, Exception):
            return not (self.settled.is_set() or self.unread.is_set())
        return not self.unread.is_set() or self.unread_seconds > 0

    @property
    def unread_seconds(self) -> float:
        """How long it is kept although nobody reads it; 0 if it is not complete."""
        if isinstance(self._outcome, Exception) or self._outcome.completed_at is None:
            return 0.0
        return self._outcome.completed_at + JOINABLE_SECONDS - time.monotonic()
