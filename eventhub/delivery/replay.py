"""Replay: snapshots of one channel, shared by the readers that ask for the same rows.

A client that comes while a replay is being read, or just after, reads it from its first byte if it
is still current, or becomes current with new rows appended. So it gets as rows everything that was
acknowledged before it came. Fifty clients that reconnect at once cost DuckDB one snapshot (ADR-19).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from eventhub.background import Background
from eventhub.delivery import frames
from eventhub.delivery.fold import fold_since, needed_sequence
from eventhub.delivery.view import View
from eventhub.errors import Unavailable
from eventhub.feed import Feed
from eventhub.filters.query import Query
from eventhub.snapshots import Render, RowHead, Snapshot, Snapshots

JOINABLE_SECONDS = 1.0
"""A replay without readers may be joined this long after its last row was produced."""
MAX_UNREAD = 100
MAX_UNREAD_BYTES = 64 << 20
"""Bounds of the replays that are kept without readers; others end with their last reader."""
OPEN_SECONDS = 60.0
"""By then DuckDB has sorted any table and returned the first rows, or it hangs."""


class RowFormat(NamedTuple):
    """How rows become bytes for their readers."""

    name: str
    """Equal for equal bytes."""
    render: Render
    row_head: RowHead = RowHead.NONE


def _frames_of(view: View) -> RowFormat:
    """Return how the rows of a view become frames."""
    form, number = view.form, view.number
    return RowFormat(f"{form.value} {number}", frames.rows(form, number), form.row_head)


class Key(NamedTuple):
    """What the readers of one replay have in common."""

    format_name: str
    query: Query


@dataclass(frozen=True, slots=True)
class CurrentRows:
    """The rows of a view as one reader gets them, at `sequence`."""

    sequence: int
    _snapshot: AsyncIterator[bytes]
    _appended: bytes
    """Rows that are newer than the snapshot."""

    async def parts(self) -> AsyncIterator[bytes]:
        """Iterate over the bytes; errors as `Snapshot.reading`."""
        async for part in self._snapshot:
            yield part
        if self._appended:
            yield self._appended


class Replays:
    """The replays of one channel that may be joined."""

    def __init__(self, snapshots: Snapshots, feed: Feed, tasks: Background) -> None:
        self._snapshots = snapshots
        self._feed = feed
        self._tasks = tasks
        self._open: dict[Key, _Replay] = {}
        self._kept = self._kept_bytes = 0
        """Of the complete replays without readers."""
        self._pending: dict[tuple[Key, Hashable], _Replay] = {}
        """By the client that asked first: none waits behind other requests of another client."""

    @asynccontextmanager
    async def open(
        self,
        view: View,
        head: int,
        *,
        row_format: RowFormat | None = None,
        client: Hashable = None,
    ) -> AsyncIterator[CurrentRows]:
        """Open the current rows of a view as of `head` or later: join a replay, or start one.

        Args:
            view: which rows.
            head: a sequence that they must include.
            row_format: of the rows; by default frames of the view's form.
            client: whose share of the snapshots they use.

        Raises:
            Unavailable: the rows cannot be read now; `slow_reader`: the block took too long.
        """
        row_format = row_format or _frames_of(view)
        key = Key(row_format.name, view.query)
        while True:
            replay = self._join_or_start(key, row_format, view, head, client)
            with replay.reading():
                snapshot, appended = await self._wait_open(replay), None
                if snapshot is not None:
                    appended = await self._fold(snapshot, view, row_format, head)
                if snapshot is not None and appended is not None:
                    async with snapshot.reading() as parts:
                        yield CurrentRows(max(snapshot.sequence, head), parts, appended)
                    return
            if snapshot is not None:
                self._forget(replay)  # it is too old

    def _join_or_start(
        self, key: Key, row_format: RowFormat, view: View, head: int, client: Hashable
    ) -> "_Replay":
        replay = self._open.get(key)
        if replay is not None and replay.is_joinable:
            return replay
        replay = self._pending.get((key, client))
        if replay is None or not replay.is_joinable:
            replay = self._pending[key, client] = _Replay(key, client)
            replay.task = self._tasks.spawn(self._run(replay, row_format, view, head))
        return replay

    async def _wait_open(self, replay: "_Replay") -> Snapshot | None:
        """Return a replay's snapshot; None if another client's for the same rows was open first.

        Raises:
            Unavailable: it cannot be read now.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(OPEN_SECONDS):
                await replay.settled.wait()
        if replay.is_superseded and not replay.is_open:
            return None
        return replay.snapshot()

    async def _fold(
        self, snapshot: Snapshot, view: View, row_format: RowFormat, head: int
    ) -> bytes | None:
        """Return the rows to append to a snapshot, rendered; None if it is too old."""
        fold = await fold_since(self._feed, view, snapshot.sequence, head)
        if fold is None:
            return None
        rows = fold.rows(row_format.row_head)
        return row_format.render(rows) if rows else b""

    def _forget(self, replay: "_Replay") -> None:
        """Keep others from joining a replay; its readers read on."""
        if self._open.get(replay.key) is replay:
            del self._open[replay.key]
        if self._pending.get((replay.key, replay.client)) is replay:
            del self._pending[replay.key, replay.client]

    async def _run(self, replay: "_Replay", row_format: RowFormat, view: View, head: int) -> None:
        """Hold a snapshot open as long as it is needed."""
        name = self._feed.stream.channel.name
        try:
            stored = self._snapshots.sequence_of(name)
            async with self._snapshots.read(
                name,
                replay.key.query,
                row_format.render,
                row_head=row_format.row_head,
                at_least=await needed_sequence(self._feed, view, stored, head),
                client=replay.client,
            ) as snapshot:
                self._forget(replay)
                self._open[replay.key] = replay
                replay.settle(snapshot)
                self._supersede(replay.key)
                await self._until_not_needed(replay)
                self._forget(replay)
        except Exception as error:  # noqa: BLE001 - raised in each of its readers
            replay.settle(error)
        finally:
            self._forget(replay)

    def _supersede(self, key: Key) -> None:
        """Send the readers of other clients' pending replays to the one that is open now."""
        for (other, _), replay in list(self._pending.items()):
            if other == key:
                self._forget(replay)
                replay.supersede()

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
        """Return whether a replay without readers may wait for others to join it."""
        return (
            self._open.get(replay.key) is replay
            and self._kept < MAX_UNREAD
            and self._kept_bytes + size <= MAX_UNREAD_BYTES
        )


class _Replay:
    """One snapshot, its readers, and how long others may join them."""

    task: asyncio.Task[None]

    def __init__(self, key: Key, client: Hashable) -> None:
        self.key = key
        self.client = client
        self.unread = asyncio.Event()
        """Set while it has no readers."""
        self.settled = asyncio.Event()
        """It is open, or never will be."""
        self.is_superseded = False
        """Another client's replay of the same rows was open first."""
        self._readers = 0
        self._outcome: Snapshot | Exception = Unavailable("the projection does not answer")

    def settle(self, outcome: Snapshot | Exception) -> None:
        """Wake the readers: the snapshot is open, or cannot be opened."""
        self._outcome = outcome
        self.settled.set()

    def supersede(self) -> None:
        """Send the readers to another replay; the last one to leave ends this one."""
        self.is_superseded = True
        self.settled.set()

    @property
    def is_open(self) -> bool:
        """Whether there is a snapshot."""
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
        """Count a reader. The last one to leave ends a replay that is not yet open."""
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
        """Whether another reader may join it."""
        if isinstance(self._outcome, Exception):
            return not (self.settled.is_set() or self.unread.is_set())
        return not self.unread.is_set() or self.unread_seconds > 0

    @property
    def unread_seconds(self) -> float:
        """How long it is kept without readers; 0 if it is not complete."""
        if isinstance(self._outcome, Exception) or self._outcome.completed_at is None:
            return 0.0
        return self._outcome.completed_at + JOINABLE_SECONDS - time.monotonic()
