"""Projector: follows a channel's stream into the store, batch by batch, over every failure.

It resumes from the checkpoint in the tables, which says what DuckDB really holds, and never from a
position that the broker remembers. Waiting events are stored in large batches, so an event is
cheaper the busier the channel is. A projector may rest while no reader wants its tables (ADR-96).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress

import duckdb
import structlog

from eventhub.demand import Demand
from eventhub.errors import Damaged, Unavailable
from eventhub.event import Sealed, SealedEvent
from eventhub.feed import Pause
from eventhub.metrics import PROJECTED, PROJECTED_EVENTS
from eventhub.stream import EventStream
from projections.backlog import BATCH_EVENTS, is_enough, size_of
from projections.store import Progress, Store
from projections.taking_up import TakeUp, take_up

WAITING_BYTES = 64 << 20
"""Reading pauses once so much waits: enough for a checkpoint of DuckDB, which takes 0.5 s."""
FOLD_SECONDS = 1.0
FOLD_EVENTS = 100_000
"""Events are stored and folded after this time, or this many of them, or when a reader waits. A
batch of one costs DuckDB as much as one of a hundred, so single batches would keep a core busy."""
FEW_EVENTS = 1_000
FEW_SECONDS = 15.0
"""Fewer events may wait this long: a reader stores and folds them in some milliseconds."""
GATHER_SECONDS = 0.25
"""Events are taken from a feed together if they come within this time and no reader waits: to look
at each by itself costs a twentieth of what a message costs otherwise."""
FEW_BYTES = 4 << 20
"""Few events of this size do not wait for a reader, who would wait for each of their megabytes."""
LAST_SECONDS = 2.0
"""For storing and folding at the stop."""
FAR_EVENTS = 500_000
"""Tables that rest read what they lack once it is so much: their next reader waits ten seconds at
most, and the log needs half of that (ADR-103)."""
LOOK_SECONDS, NEARER_SECONDS = 5.0, 60.0
"""Between two looks at how far behind they are; the longest time that they read before the next."""
RETRY_SECONDS = (0.5, 30.0)
"""First and longest pause after a failure; in between it doubles."""

PacedFollow = Callable[[int, Pause], AbstractAsyncContextManager[AsyncIterator[Sequence[Sealed]]]]
"""As `Feed.follow`."""

logger = structlog.get_logger(__name__)


class Projector:
    """Keeps the tables of one channel up to date. `run` does the work."""

    def __init__(
        self,
        store: Store,
        stream: EventStream,
        follow: PacedFollow | None = None,
        *,
        few_seconds: float = FEW_SECONDS,
        demand: Demand | None = None,
        take_up: TakeUp = take_up,
    ) -> None:
        """Prepare; `run` starts.

        Args:
            store: holds the tables of the channel.
            stream: of the channel.
            follow: reads the events; `stream.follow_sealed` if None.
            few_seconds: how long few events may wait if no reader asks for them.
            demand: while there is none, the projector rests; by default it never does.
            take_up: returns where to continue, whenever it begins to project.
        """
        self.channel = stream.channel.name
        self._store = store
        self._stream = stream
        self._follow = follow or (lambda after, _: stream.follow_sealed(after))
        self._few_seconds = few_seconds
        self._demand = demand or Demand()
        self._take_up = take_up
        self.is_taking_up = False
        """Whether it may be silent, because it finds out where to continue."""
        self._waiting: list[SealedEvent] = []
        self._waiting_bytes = self._unfolded_bytes = 0
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._room = asyncio.Event()
        self._folded_at = time.monotonic()
        self._pause = RETRY_SECONDS[0]
        self.is_failing = False
        """The last attempt to read or write failed."""
        self._readers: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def head(self) -> int:
        """Last sequence in the history."""
        return self._store.progress(self.channel).head

    @property
    def watermark(self) -> int:
        """Last sequence in the current table; every snapshot includes it."""
        return self._store.progress(self.channel).watermark

    async def run(self) -> None:
        """Project while there is demand, until cancelled; failures are logged and retried."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._demand.serve(self._keep_projecting))
            if self._demand.may_end:
                group.create_task(self._stay_near())

    async def serve(self, stop: asyncio.Event) -> None:
        """Run until the stop; then store and fold what has come, for who opens the file later."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.run())
            await stop.wait()
            if not self._demand.may_end:  # otherwise these tables are a copy of others
                with suppress(Unavailable):
                    await self.caught_up(self._stream.known_last, LAST_SECONDS)
            task.cancel()

    async def _stay_near(self) -> None:
        """Let tables that rest come nearer to the end of the log whenever they are far behind."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            last = self._stream.known_last
            if last - self.head >= FAR_EVENTS:
                with suppress(Unavailable):
                    await self.caught_up(last, NEARER_SECONDS, lingers=False)

    async def _keep_projecting(self) -> None:
        name = self.channel
        try:
            while True:
                try:
                    await self._project()
                except* (duckdb.Error, OSError, Unavailable, Damaged) as failures:
                    logger.exception("projection_failed", channel=name, retry_in=self._pause)
                    del failures
                self.is_failing = True
                with self._demand.hold():  # it does not rest before an attempt succeeds
                    await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, RETRY_SECONDS[1])
        finally:
            if self._demand.may_end:  # tables that rest are not behind
                PROJECTED.remove(name)

    async def caught_up(self, sequence: int, timeout: float, *, lingers: bool = True) -> None:
        """Wait until the current table includes a sequence, and fold at once; `lingers` as `hold`.

        Raises:
            Unavailable: it took longer than `timeout` seconds.
        """
        if self.watermark >= sequence:
            return
        reader = (sequence, asyncio.get_running_loop().create_future())
        self._readers.append(reader)
        self._wake.set()
        self._hurry.set()
        try:
            with self._demand.hold(lingers=lingers):
                async with asyncio.timeout(timeout):
                    await reader[1]
        except TimeoutError:
            raise Unavailable(
                f"the projection is at {self.watermark}, not at {sequence} yet: try again"
            ) from None
        finally:
            self._readers.remove(reader)

    async def catch_up(self, timeout: float) -> None:
        """Wait until the current table holds all that the log holds now; errors as `caught_up`."""
        await self.caught_up((await self._stream.bounds()).last, timeout)

    async def _project(self) -> None:
        await self._store.recover()
        self.is_taking_up = True
        try:
            start = await self._take_up(self._store, self._stream)
        finally:
            self.is_taking_up = False
        self._waiting, self._waiting_bytes, self._unfolded_bytes = [], 0, 0
        self._announce(start)
        follow = self._follow(start.head, self._gather)
        async with follow as batches, asyncio.TaskGroup() as group:
            group.create_task(self._read(batches))
            group.create_task(self._write(start.head))

    async def _read(self, batches: AsyncIterator[Sequence[Sealed]]) -> None:
        async for batch in batches:
            # Only the payload is kept: a decoded event is several times as large.
            self._waiting += [SealedEvent(event.sequence, event.payload) for event in batch]
            self._waiting_bytes += (size := size_of(batch))
            self._unfolded_bytes += size
            # A new batch changes what `_due_in` returns when it is the first, or makes few many.
            few = len(self._waiting) - len(batch)
            if few == 0 or few < FEW_EVENTS <= len(self._waiting) or self._is_due_now():
                self._wake.set()
            while self._waiting_bytes >= WAITING_BYTES:
                self._room.clear()
                await self._room.wait()

    async def _gather(self) -> None:
        """Let further events come for a moment, unless a reader waits."""
        self._hurry.clear()
        if not self._readers:
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._hurry.wait()

    async def _write(self, head: int) -> None:
        while True:
            await self._wait_until_due()
            if batch := self._take():
                self._check_still_at(head)
                head = (await self._store.append(self.channel, batch)).head
                PROJECTED_EVENTS.labels(self.channel).inc(len(batch))
            if self._is_fold_due():
                await self._fold()
            self._pause = RETRY_SECONDS[0]
            self.is_failing = False

    async def _wait_until_due(self) -> None:
        """Wait until it is time to store a batch or to fold."""
        while (pause := self._due_in()) is None or pause > 0:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    def _due_in(self) -> float | None:
        """Return the seconds until the next work is due; None: not before the next event."""
        if self._is_due_now():
            return 0.0
        if self.watermark == self._arrived:
            return None
        return max(0.0, self._fold_at - time.monotonic())

    def _is_due_now(self) -> bool:
        count, size = len(self._waiting), self._waiting_bytes
        return is_enough(count, size) or self._are_large or self._has_reader(self._arrived)

    @property
    def _unfolded(self) -> int:
        return len(self._waiting) + self.head - self.watermark

    @property
    def _are_large(self) -> bool:
        return self._unfolded_bytes >= FEW_BYTES and 0 < self._unfolded < FEW_EVENTS

    @property
    def _fold_at(self) -> float:
        """When the events that have arrived are folded, whether a reader waits or not."""
        is_few = self._unfolded < FEW_EVENTS
        return self._folded_at + (self._few_seconds if is_few else FOLD_SECONDS)

    @property
    def _arrived(self) -> int:
        return self._waiting[-1].sequence if self._waiting else self.head

    def _has_reader(self, arrived: int) -> bool:
        """Tell whether a reader waits for events up to `arrived` that are not folded yet."""
        return any(self.watermark < sequence <= arrived for sequence, _ in self._readers)

    def _take(self) -> list[SealedEvent]:
        batch, self._waiting = self._waiting[:BATCH_EVENTS], self._waiting[BATCH_EVENTS:]
        self._waiting_bytes -= size_of(batch)
        self._room.set()
        return batch

    def _check_still_at(self, head: int) -> None:
        """Check that no events were lost if another channel's projector has reopened the file."""
        if self.head != head:
            raise Unavailable(f"the projection is at {self.head}, not at {head}: starting again")

    def _is_fold_due(self) -> bool:
        unfolded = self.head - self.watermark
        if unfolded == 0:
            return False
        return (
            unfolded >= FOLD_EVENTS
            or self._are_large
            or time.monotonic() >= self._fold_at
            or self._has_reader(self.head)
        )

    async def _fold(self) -> None:
        self._announce(await self._store.fold(self.channel))
        self._folded_at, self._unfolded_bytes = time.monotonic(), self._waiting_bytes

    def _announce(self, progress: Progress) -> None:
        """Let the readers go on whose events are in the current table."""
        PROJECTED.labels(self.channel).set(progress.watermark)
        for sequence, future in self._readers:
            if sequence <= progress.watermark and not future.done():
                future.set_result(None)
