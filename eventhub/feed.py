"""Feed: the newest events of a channel, read once for everything in this process that needs them.

One follower keeps up with the log, however slow its readers are. Listeners are called with each
batch. A reader with a pace of its own (`follow`) gets what it missed from the ring of recent
events, and from the log only if it is further behind than the ring reaches.

A feed may rest while it has no readers (ADR-96). It has no follower then, and goes on at the end
of the log: what was written meanwhile is not handed out.
"""

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

from eventhub.demand import Demand
from eventhub.errors import Unavailable
from eventhub.event import Sealed, StoredEvent
from eventhub.metrics import FOLLOWED
from eventhub.stream import EventStream

RING_BYTES = 16 << 20
"""Payload bytes of recent events of a channel, kept for readers that are a little behind."""
TURN_EVENTS = 256
"""Events handed out in one turn of the loop: a burst blocks everything else no longer."""
TURN_BYTES = 256 << 10
"""Payload bytes of one turn: a full socket buffers at most this much more than it should."""
PAUSE_SECONDS = 0.01
"""The longest pause between two turns. Events that come during it are handed out together."""
QUICK_SECONDS = 0.0005
"""A turn that takes less was written to few sockets: no pause follows it."""
GATHER_SECONDS = 0.002
"""The longest wait for further events after the first. Those of a burst come one by one."""
RETRY_SECONDS = 0.5
"""Between two attempts to find the end of the log."""

Listener = Callable[[list[StoredEvent]], None]
Pause = Callable[[], Awaitable[object]]
"""Returns when a reader that had everything wants what has come since."""


def turns(batch: list[StoredEvent]) -> Iterator[list[StoredEvent]]:
    """Cut a batch into turns of the loop; a large event is a turn of its own."""
    if len(batch) == 1:
        yield batch
        return
    if 0 < len(batch) <= TURN_EVENTS and sum([len(e.payload) for e in batch]) <= TURN_BYTES:
        yield batch
        return
    turn: list[StoredEvent] = []
    size = 0
    for stored in batch:
        if turn and (len(turn) == TURN_EVENTS or size + len(stored.payload) > TURN_BYTES):
            yield turn
            turn, size = [], 0
        turn.append(stored)
        size += len(stored.payload)
    if turn:
        yield turn


class Ring:
    """Recent events in order, bounded in payload bytes."""

    def __init__(self, floor: int, max_bytes: int) -> None:
        self._events: deque[StoredEvent] = deque()
        self._bytes = 0
        self._max_bytes = max_bytes
        self._floor = floor

    def extend(self, batch: Sequence[StoredEvent]) -> None:
        """Add events, and forget the oldest ones above the bound."""
        self._events.extend(batch)
        for stored in batch:
            self._bytes += len(stored.payload)
        while self._bytes > self._max_bytes:
            oldest = self._events.popleft()
            self._bytes -= len(oldest.payload)
            self._floor = oldest.sequence

    def after(self, position: int, count: int) -> list[StoredEvent] | None:
        """Return the next events after a position, or None if some are forgotten."""
        if position < self._floor:
            return None
        events = self._events
        newer = events[-1].sequence - position if events else 0
        if newer <= 0:
            return []
        # At most so many events are newer. Most readers keep up, and want the last few.
        start = max(0, len(events) - newer)
        start = bisect_right(events, position, lo=start, key=lambda stored: stored.sequence)
        # By index: an iterator would walk through all older events.
        return [events[at] for at in range(start, min(start + count, len(events)))]

    def share_after(self, position: int, count: int) -> float:
        """Return how much of the ring the events after a position take; 1 if some are forgotten.

        It is 0 if they are more than `count`.
        """
        newer = self._events[-1].sequence - position if self._events else 0
        if newer > count:
            return 0.0
        if position < self._floor:
            return 1.0
        return (
            sum(len(each.payload) for each in self.after(position, count) or ()) / self._max_bytes
        )


class Feed:
    """One channel's follower and its newest events.

    Args:
        stream: the log of the channel.
        after: the sequence up to which events count as handed out.
        ring_bytes: payload bytes of the recent events that are kept.
        demand: while there is none, the feed rests; by default it never does.
    """

    def __init__(
        self,
        stream: EventStream,
        after: int,
        ring_bytes: int = RING_BYTES,
        demand: Demand | None = None,
    ) -> None:
        self.stream = stream
        self.demand = demand or Demand()
        self.head = after
        """Sequence of the last event handed out, or left out while the feed rested."""
        self.is_followed = not self.demand.may_end
        """Every event after the head will be handed out."""
        self.listeners: list[Listener] = []
        """Called with every batch, in this order; they must not raise or wait."""
        self.on_followed: list[Callable[[int | None], None]] = []
        """Called with the sequence after which every event will be handed out; None: the feed
        rests."""
        self._ring_bytes = ring_bytes
        self._ring = Ring(after, ring_bytes)
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def run(self) -> None:
        """Follow the log while there is demand, until cancelled."""
        await self.demand.serve(self._follow_log)

    async def _follow_log(self) -> None:
        """Follow the log until cancelled.

        After a turn that took long, because it was written to many sockets, everything else gets
        half as much time, and further events are gathered for a moment: so a busy channel makes
        fewer, larger writes. Events that this process stored together are one turn, although the
        server sends them in pieces.
        """
        if not self.is_followed:
            self._go_on_after(await self._end_of_log())
        followed = FOLLOWED.labels(self.stream.channel.name)
        followed.set(1)
        try:
            async with self.stream.follow(self.head) as batches:
                cost = 0.0
                while True:
                    for turn in turns(await self._gathered(batches, min(cost / 4, GATHER_SECONDS))):
                        cost = await self._take_turn(turn)
                        if cost:
                            await asyncio.sleep(min(cost / 2, PAUSE_SECONDS))
        finally:
            followed.set(0)
            if self.demand.may_end:
                self._rest()

    async def _end_of_log(self) -> int:
        while True:
            with suppress(Unavailable):
                return (await self.stream.bounds()).last
            await asyncio.sleep(RETRY_SECONDS)

    def _go_on_after(self, sequence: int) -> None:
        """Count everything up to a sequence as handed out; the next events are those after it."""
        self.head = max(self.head, sequence)
        self._ring = Ring(self.head, self._ring_bytes)
        self.is_followed = True
        for call in self.on_followed:
            call(self.head)
        self._wake()

    def _rest(self) -> None:
        self.is_followed = False
        self._ring = Ring(self.head, self._ring_bytes)
        for call in self.on_followed:
            call(None)

    async def _gathered(
        self, batches: AsyncIterator[list[StoredEvent]], seconds: float
    ) -> list[StoredEvent]:
        """Return the next batch, and the events that come within some time after it."""
        gathered = await anext(batches)
        is_whole = gathered[-1].sequence >= self.stream.newest
        if is_whole and seconds == 0:
            return gathered
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds if is_whole else GATHER_SECONDS):
                while len(gathered) < TURN_EVENTS:
                    gathered += await anext(batches)  # loses nothing if it is cancelled
                    if not is_whole and gathered[-1].sequence >= self.stream.newest:
                        break
        return gathered

    async def _take_turn(self, turn: list[StoredEvent]) -> float:
        """Hand out a turn, and return the seconds that it took; 0 if they are too few to count."""
        clock = time.perf_counter  # the loop's own stands still during a turn of the loop
        began = clock()
        self.publish(turn)
        if clock() - began < QUICK_SECONDS:
            return 0.0
        await asyncio.sleep(0)  # the sockets are written to at the end of a turn of the loop
        return clock() - began

    def publish(self, batch: list[StoredEvent]) -> None:
        """Hand out events to all listeners, and wake the readers that wait for them."""
        self.head = batch[-1].sequence
        self._ring.extend(batch)
        for listener in self.listeners:
            listener(batch)
        self._wake()

    def _wake(self) -> None:
        """Wake the readers that wait for what was handed out."""
        waiting, self._waiting = self._waiting, deque()
        for sequence, waiter in waiting:
            if sequence > self.head:
                self._waiting.append((sequence, waiter))
            elif not waiter.done():
                waiter.set_result(None)

    def recent(self, position: int) -> list[StoredEvent] | None:
        """Return the next events after a position, or None if the ring has forgotten some."""
        return self._ring.after(position, TURN_EVENTS)

    def lead(self, position: int, count: int) -> float:
        """Return how far a few large events are ahead of a position, as a share of the ring.

        From 1 on, some of them are forgotten. It is 0 if they are more than `count`.
        """
        return self._ring.share_after(position, count) if self.is_followed else 0.0

    async def reached(self, sequence: int, timeout: float | None) -> None:
        """Wait until everything up to a sequence has been handed out, by a feed that is followed.

        Raises:
            TimeoutError: it was not handed out within `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            await self._reached(sequence)

    async def _reached(self, sequence: int) -> None:
        while self.head < sequence or not self.is_followed:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append((sequence, waiter))
            await waiter

    @asynccontextmanager
    async def follow(
        self, after: int, pause: Pause | None = None
    ) -> AsyncIterator[AsyncIterator[Sequence[Sealed]]]:
        """Iterate as `EventStream.follow_sealed` does, from the ring as far as it reaches.

        Args:
            after: the sequence before the first event.
            pause: awaited when another event has come after the reader had everything, so that
                it gets further ones together with that.
        """
        batches = self._batches(after, pause)
        try:
            yield batches
        finally:
            await batches.aclose()

    async def _batches(
        self, position: int, pause: Pause | None
    ) -> AsyncGenerator[Sequence[Sealed], None]:
        while True:
            while (events := self.recent(position)) is not None:
                if events:
                    yield events
                    position = events[-1].sequence
                else:
                    await self._reached(max(position, self.head) + 1)
                    if pause is not None:
                        await pause()
            async with self.stream.follow_sealed(position) as log:
                async for batch in log:
                    yield batch
                    position = batch[-1].sequence
                    if self.recent(position) is not None:
                        break
