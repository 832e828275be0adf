"""Replay: snapshots of one channel that are shared by the subscribers who ask for the same.

Whoever comes while a replay is being made, or just after, reads it from its first byte and then
the events since, so it is as if it had come a moment earlier. Fifty clients that reconnect at once
cost DuckDB one snapshot (ADR-19).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from eventhub.errors import Unavailable
from eventhub.filters import Query
from eventhub.gateway import protocol
from eventhub.gateway.fanout import Fanout
from eventhub.gateway.protocol import Form
from eventhub.gateway.view import View
from eventhub.snapshots import Snapshot, Snapshots

JOINABLE_SECONDS = 1.0
"""A replay may be joined this long after its last row was produced."""
MAX_UNREAD_BYTES = 64 << 20
"""Of replays that nobody reads, and somebody may still join; others end with their last reader."""
OPEN_SECONDS = 60.0
"""DuckDB has sorted any table and given the first rows by then, or has hung."""

Key = tuple[Form, Query]


class Replays:
    """The replays of one channel that may be joined."""

    def __init__(self, snapshots: Snapshots, fanout: Fanout) -> None:
        self._snapshots = snapshots
        self._fanout = fanout
        self._replays: dict[Key, _Replay] = {}

    @asynccontextmanager
    async def open(self, view: View, head: int) -> AsyncIterator[Snapshot]:
        """Open the current rows of a view: a snapshot that is there, or a new one.

        It may be older than `head`, if the fan-out remembers all that has happened since. A query
        that says how many rows, or in what order, gets them as of `head` at least.

        Raises:
            Unavailable: it cannot be read now.
        """
        while True:
            replay = self._current(view, head)
            with replay.reading():
                snapshot = await replay.opened()
                if self._is_recent(snapshot, view.query, head):
                    yield snapshot
                    return
            self._forget(replay)

    def _current(self, view: View, head: int) -> "_Replay":
        key = (view.form, view.query)
        replay = self._replays.get(key)
        if replay is None or replay.joinable_seconds <= 0:
            replay = self._replays[key] = _Replay(key)
            replay.task = self._fanout.spawn(self._run(replay, head))
        return replay

    def _is_recent(self, snapshot: Snapshot, query: Query, head: int) -> bool:
        if query.sort or query.offset or query.limit is not None:
            return snapshot.sequence >= head
        return self._fanout.feed.recent(snapshot.sequence) is not None or snapshot.sequence >= head

    def _forget(self, replay: "_Replay") -> None:
        """Let nobody join it any more; those who read it read on."""
        if self._replays.get(replay.key) is replay:
            del self._replays[replay.key]

    async def _run(self, replay: "_Replay", head: int) -> None:
        """Hold a snapshot open as long as it is needed."""
        form, query = replay.key
        try:
            async with self._snapshots.read(
                self._fanout.name,
                query,
                protocol.rows(form),
                sequenced=form.sequenced,
                at_least=head,
            ) as snapshot:
                replay.set(snapshot)
                await self._until_not_needed(replay)
                self._forget(replay)
        except Exception as error:  # noqa: BLE001 - raised in each of its readers
            replay.set(error)
        finally:
            self._forget(replay)

    async def _until_not_needed(self, replay: "_Replay") -> None:
        while True:
            await replay.unread.wait()
            seconds = replay.joinable_seconds
            if seconds <= 0 or not self._may_keep(replay):
                return
            await asyncio.sleep(seconds)

    def _may_keep(self, replay: "_Replay") -> bool:
        """Tell whether a replay that nobody reads may wait for others to join it."""
        unread_bytes = sum(each.unread_bytes for each in self._replays.values())
        return self._replays.get(replay.key) is replay and unread_bytes <= MAX_UNREAD_BYTES


class _Replay:
    """One snapshot, those who read it, and how long others may join them."""

    task: asyncio.Task[None]

    def __init__(self, key: Key) -> None:
        self.key = key
        self.unread = asyncio.Event()
        """Set while nobody reads it."""
        self._readers = 0
        self._is_open = asyncio.Event()
        self._outcome: Snapshot | Exception = Unavailable("the projection does not answer")

    def set(self, outcome: Snapshot | Exception) -> None:
        """Tell the readers that the snapshot is open, or why it is not."""
        self._outcome = outcome
        self._is_open.set()

    async def opened(self) -> Snapshot:
        """Wait for the snapshot.

        Raises:
            Unavailable: it cannot be read now.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(OPEN_SECONDS):
                await self._is_open.wait()
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
                if not self._is_open.is_set():
                    self.task.cancel()

    @property
    def joinable_seconds(self) -> float:
        """How long it may still be joined; 0 if it ends before it is complete."""
        if isinstance(self._outcome, Exception):
            is_pending = not (self._is_open.is_set() or self.unread.is_set())
            return JOINABLE_SECONDS if is_pending else 0.0
        if self._outcome.completed_at is None:
            return 0.0 if self.unread.is_set() else JOINABLE_SECONDS
        return self._outcome.completed_at + JOINABLE_SECONDS - time.monotonic()

    @property
    def unread_bytes(self) -> int:
        """What it holds for nobody but those who may join it."""
        if isinstance(self._outcome, Exception) or not self.unread.is_set():
            return 0
        return self._outcome.size
