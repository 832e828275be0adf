"""MemoryLog: the event log in memory, for tests. Passes the contract suite of `jetstream`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, Self, TypeVar
from uuid import uuid4

from eventhub.channel import Channel
from eventhub.columns import Columns
from eventhub.errors import EventHubError, Rejected
from eventhub.event import Event, SealedEvent, StoredEvent, encode
from eventhub.memory_records import MemoryRecords
from eventhub.memory_signals import MemorySignals
from eventhub.stream import (
    ACK_WAIT_SECONDS,
    MAX_PAYLOAD,
    Appended,
    Bounds,
    Delivery,
    OnAppended,
    WrongSequence,
)

BATCH = 1000  # events in one batch of a follower

T = TypeVar("T")


class MemoryLog:
    """Streams that live as long as this object."""

    is_connected = True

    def __init__(self) -> None:
        self._streams: dict[str, MemoryStream] = {}
        self._records: dict[str, MemoryRecords] = {}
        self.signals = MemorySignals()

    async def open(self, channel: Channel) -> "MemoryStream":
        """Return the stream of a channel; make it if it is new."""
        return self._streams.setdefault(channel.stream, MemoryStream(channel))

    async def records(self, name: str, *, max_age_seconds: float | None = None) -> "MemoryRecords":
        """Return a store of records; make it if it is new."""
        return self._records.setdefault(name, MemoryRecords(max_age_seconds))


class MemoryStream:
    """The log of one channel; see `eventhub.stream.EventStream`."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.trouble = ""
        self.newer_columns: Columns | None = None
        self.epoch = uuid4().hex
        self._payloads: list[bytes] = []
        self._times: list[datetime] = []
        self._last: dict[str, int] = {}
        self._writes: dict[str, int] = {}
        self._queues: dict[str, _Queue] = {}
        self._changed = asyncio.Event()

    @property
    def newest(self) -> int:
        """Highest sequence."""
        return self.length

    @property
    def known_last(self) -> int:
        """Last sequence."""
        return self.length

    async def append(self, event: Event, *, expect: int) -> Appended:
        """Append an event."""
        return self.store(event, expect)

    def store(self, event: Event, expect: int) -> Appended:
        """Append an event without waiting; errors as `append`."""
        payload = encode(event)
        if len(payload) > MAX_PAYLOAD:
            raise Rejected("too_large", f"the event has {len(payload)} bytes, which is too large")
        if known := self._writes.get(event.write):
            return Appended(known, duplicate=True)
        if self._last.get(event.id, 0) != expect:
            raise WrongSequence("the row has another last event")
        self._payloads.append(payload)
        self._times.append(datetime.now(UTC))
        sequence = len(self._payloads)
        self._last[event.id] = self._writes[event.write] = sequence
        self._wake()
        return Appended(sequence, duplicate=False, size=len(payload))

    def submit(
        self, event: Event, *, expect: int, sender: Hashable, on_appended: OnAppended
    ) -> bool:
        """Append an event; call back in the next turn of the loop."""
        outcome: Appended | EventHubError
        try:
            outcome = self.store(event, expect)
        except Rejected:
            raise
        except EventHubError as error:
            outcome = error
        asyncio.get_running_loop().call_soon(on_appended, outcome)
        return True

    @asynccontextmanager
    async def follow(self, after: int) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        """Iterate over all events after a sequence."""
        yield _Follower(self.at, self, after)

    @asynccontextmanager
    async def follow_sealed(self, after: int) -> AsyncIterator[AsyncIterator[list[SealedEvent]]]:
        """Iterate over all events after a sequence, without decoding them."""
        yield _Follower(self.sealed_at, self, after)

    async def last(self, row_id: str) -> StoredEvent | None:
        """Return the last event of a row."""
        return await self.get(self._last.get(row_id, 0))

    async def get(self, sequence: int) -> StoredEvent | None:
        """Return the event at a sequence."""
        return self.at(sequence) if 0 < sequence <= self.length else None

    async def read(self, after: int, max_bytes: int) -> list[StoredEvent]:
        """Return the next events after a sequence."""
        events: list[StoredEvent] = []
        for sequence in range(after + 1, self.length + 1):
            stored = await self.get(sequence)
            if stored is None:
                continue
            max_bytes -= stored.size
            if events and max_bytes < 0:
                break
            events.append(stored)
        return events

    async def bounds(self) -> Bounds:
        """Return what the stream holds now."""
        return Bounds(1, self.length)

    async def end(self) -> int:
        """Return the last sequence that was ever assigned."""
        return self.length

    async def sequence_before(self, moment: datetime) -> int:
        """Return the last sequence stored before an instant."""
        return sum(time < moment for time in self._times)

    async def enlist(self, worker: str) -> None:
        """Make the work queue of a worker, if it is new."""
        self._queues.setdefault(worker, _Queue(next=self.length + 1))

    @asynccontextmanager
    async def work(self, worker: str) -> AsyncIterator[AsyncIterator[Delivery]]:
        """Iterate over the deliveries of a work queue."""
        await self.enlist(worker)
        yield _Worker(self, self._queues[worker])

    @property
    def length(self) -> int:
        """The last sequence."""
        return len(self._payloads)

    def at(self, sequence: int) -> StoredEvent:
        """Return an event that exists."""
        return StoredEvent.read(sequence, self._payloads[sequence - 1], self.channel.columns)

    def sealed_at(self, sequence: int) -> SealedEvent:
        """Return an event that exists, not decoded."""
        return SealedEvent.read(sequence, self._payloads[sequence - 1], self.channel.columns)

    async def changed(self, *, within_seconds: float | None) -> None:
        """Wait for the next append or answer, or for a time."""
        try:
            async with asyncio.timeout(within_seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def answered(self) -> None:
        """Wake the workers, so that they look again."""
        self._wake()


class _Follower(Generic[T]):
    def __init__(self, at: Callable[[int], T], stream: MemoryStream, after: int) -> None:
        self._at = at
        self._stream = stream
        self._after = after

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[T]:
        while self._stream.length <= self._after:
            await self._stream.changed(within_seconds=None)
        first, self._after = self._after + 1, min(self._stream.length, self._after + BATCH)
        return [self._at(sequence) for sequence in range(first, self._after + 1)]


@dataclass
class _Queue:
    next: int
    """Sequence of the next event that was never delivered."""
    due: dict[int, float] = field(default_factory=dict)
    """When each event without an ack is delivered again, in loop time."""
    attempts: dict[int, int] = field(default_factory=dict)


class _Worker:
    def __init__(self, stream: MemoryStream, queue: _Queue) -> None:
        self._stream = stream
        self._queue = queue

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        while (sequence := self._next()) is None:
            now = asyncio.get_running_loop().time()
            soonest = min(self._queue.due.values(), default=None)
            wait = None if soonest is None else max(0.0, soonest - now)
            await self._stream.changed(within_seconds=wait)
        attempt = self._queue.attempts.get(sequence, 0) + 1
        self._queue.attempts[sequence] = attempt
        delivery = _Delivery(self._stream.at(sequence), attempt, self._stream, self._queue)
        delivery.postpone(ACK_WAIT_SECONDS)
        return delivery

    def _next(self) -> int | None:
        now = asyncio.get_running_loop().time()
        for sequence, due in self._queue.due.items():
            if due <= now:
                return sequence
        if self._queue.next > self._stream.length:
            return None
        self._queue.next += 1
        return self._queue.next - 1


@dataclass
class _Delivery:
    stored: StoredEvent
    attempt: int
    _stream: MemoryStream
    _queue: _Queue

    async def ack(self) -> None:
        self._queue.due.pop(self.stored.sequence, None)

    async def retry(self, delay_seconds: float) -> None:
        self.postpone(delay_seconds)
        self._stream.answered()

    async def extend(self) -> None:
        self.postpone(ACK_WAIT_SECONDS)

    def postpone(self, seconds: float) -> None:
        self._queue.due[self.stored.sequence] = asyncio.get_running_loop().time() + seconds
