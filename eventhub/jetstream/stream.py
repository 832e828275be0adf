"""JetStreamStream: the log of one channel. It appends, follows, and reads single events."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from eventhub.channel import Channel, encode_token
from eventhub.columns import Columns
from eventhub.errors import Damaged, EventHubError, Rejected
from eventhub.event import Event, SealedEvent, StoredEvent, encode
from eventhub.jetstream import api
from eventhub.jetstream.api import sequence_of
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.damage import Read, T
from eventhub.jetstream.follower import Follower, Marks
from eventhub.jetstream.health import Health
from eventhub.jetstream.retained import Retained, RetainedFollower
from eventhub.jetstream.stream_state import state_in_epoch
from eventhub.jetstream.work_queue import WorkQueue, enlist
from eventhub.jetstream.write import Write
from eventhub.jetstream.writer import Writer
from eventhub.segments import Original
from eventhub.stream import MAX_PAYLOAD, Appended, Bounds, Delivery, OnAppended

HEADERS_BYTES = 1024
"""The most that the headers of one message take."""
READ_EVENTS = 1000
"""The most that one call of `read` returns."""


class JetStreamStream:
    """The log of one channel; see `eventhub.stream.EventStream`."""

    def __init__(
        self,
        channel: Channel,
        connection: Connection,
        writer: Writer,
        epoch: str,
        retained: Retained,
        health: Health | None = None,
    ) -> None:
        self.channel = channel
        self._health = health
        self._connection = connection
        self._writer = writer
        self._marks = Marks(lambda: writer.newest, retained.refresh)
        self._epoch = epoch
        self._retained = retained
        self._prefix = channel.prefix
        self._name = channel.stream
        self._readable = 0  # the last sequence that `bounds` found readable
        self._found = 0  # the highest sequence that was read singly

    @property
    def epoch(self) -> str:
        """Changes when the stream is deleted and made again."""
        return self._epoch

    @property
    def newest(self) -> int:
        """Highest sequence that this process appended or read singly."""
        return max(self._writer.newest, self._found)

    @property
    def known_last(self) -> int:
        """Last sequence that the leader, an answer to a write, or a follower has named."""
        said = 0 if self._health is None else self._health.last(self._name)
        return max(said, self.newest, self._marks.received)

    @property
    def trouble(self) -> str:
        """Why the stream cannot be read or written now; empty if it can, or is not watched."""
        return "" if self._health is None else self._health.trouble(self.channel.stream)

    @property
    def newer_columns(self) -> Columns | None:
        """The columns of a newer configuration, if another process has one."""
        return None if self._health is None else self._health.newer(self._name)

    async def append(self, event: Event, *, expect: int) -> Appended:
        """Append an event durably."""
        outcome: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        write = self._write(event, expect, partial(_settle, outcome))
        await self._writer.room()
        self._writer.put(write)
        try:
            return await outcome
        finally:
            write.forget()

    def submit(
        self, event: Event, *, expect: int, sender: Hashable, on_appended: OnAppended
    ) -> bool:
        """Start to append an event, if there is room."""
        if self._writer.has_room:
            self._writer.put(self._write(event, expect, on_appended, sender))
            return True
        return False

    def _write(
        self, event: Event, expect: int, on_appended: OnAppended, sender: Hashable = None
    ) -> Write:
        payload = encode(event)
        size = len(payload)
        if size > MAX_PAYLOAD or size > self._connection.max_payload - HEADERS_BYTES:
            raise Rejected("too_large", f"the event has {size} bytes, which is too large")
        return Write(
            self._prefix + encode_token(event.id), payload, expect, event.write, on_appended, sender
        )

    @asynccontextmanager
    async def follow(self, after: int) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        """Iterate over all events after a sequence."""
        async with self._follower(StoredEvent.read, after) as follower:
            yield follower

    @asynccontextmanager
    async def follow_sealed(self, after: int) -> AsyncIterator[AsyncIterator[list[SealedEvent]]]:
        """Iterate over all events after a sequence, without decoding them."""
        async with self._follower(SealedEvent.read, after) as follower:
            yield follower

    @asynccontextmanager
    async def _follower(self, read: Read[T], after: int) -> AsyncIterator[RetainedFollower[T]]:
        def start(after: int) -> Follower[T]:
            return Follower(read, self._connection, self.channel, self._epoch, after, self._marks)

        follower = RetainedFollower(read, self._retained, start, after)
        try:
            yield follower
        finally:
            await follower.close()

    async def last(self, row_id: str) -> StoredEvent | None:
        """Return the last event of a row."""
        return await self._read({"last_by_subj": self.channel.subject(row_id)})

    async def get(self, sequence: int) -> StoredEvent | None:
        """Return the event at a sequence."""
        if sequence <= 0:
            return None
        stored = await self._read({"seq": sequence})
        if stored is not None:
            return stored
        if sequence > self._retained.last and sequence > await self._retained.refresh():
            return None
        original = await self._retained.get(sequence)
        return None if original is None else self._lifted(original)

    async def read(self, after: int, max_bytes: int) -> list[StoredEvent]:
        """Return the next events after a sequence."""
        if after < self._retained.last:
            return await self._read_sealed(after, max_bytes)
        subjects = f"{self.channel.prefix}*"
        query = {"seq": after + 1, "batch": READ_EVENTS, "next_by_subj": subjects}
        found = await api.direct_get_batch(
            self._connection, self.channel.stream, {**query, "max_bytes": max_bytes}
        )
        events: list[StoredEvent] = []
        with suppress(Damaged):
            for expected, message in enumerate(found, after + 1):
                if sequence_of(message) != expected:
                    break
                events.append(StoredEvent.read(expected, message.data, self.channel.columns))
        if found and not events and after < await self._retained.refresh():
            return await self._read_sealed(after, max_bytes)
        return events

    async def _read_sealed(self, after: int, max_bytes: int) -> list[StoredEvent]:
        events: list[StoredEvent] = []
        for original in (await self._retained.after(after))[:READ_EVENTS]:
            max_bytes -= len(original.payload)
            if events and max_bytes < 0:
                break
            events.append(self._lifted(original))
        return events

    def _lifted(self, original: Original) -> StoredEvent:
        return StoredEvent.read(original.sequence, original.payload, self.channel.columns)

    async def bounds(self) -> Bounds:
        """Return what the stream holds now."""
        state = await state_in_epoch(self._connection, self.channel.stream, self._epoch)
        first, last = state["first_seq"], state["last_seq"]
        if first > max(1, self._retained.last + 1):
            await self._retained.refresh()
        if sealed := self._retained.last:
            first = self._retained.manifest.first
        if not state["messages"]:
            return Bounds(first, sealed) if sealed else Bounds(last + 1, last)
        # What this process has stored can be read. To fetch it may cost a megabyte.
        known = (self._readable, self._writer.newest)
        while last >= first and last not in known and not await self._is_readable(last):
            last -= 1
        self._readable = last
        return Bounds(first, last)

    async def end(self) -> int:
        """Return the last sequence that was ever assigned."""
        state = await state_in_epoch(self._connection, self.channel.stream, self._epoch)
        return int(state["last_seq"])

    async def _is_readable(self, sequence: int) -> bool:
        try:
            return await self.get(sequence) is not None
        except Damaged:
            return False  # the follower reports it

    async def sequence_before(self, moment: datetime) -> int:
        """Return the last sequence stored before an instant."""
        if self._retained.covers(moment):
            return await self._retained.before(moment)
        last = (await self.bounds()).last  # asked first: events that come later are later
        start = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        query = {"start_time": start, "next_by_subj": f"{self.channel.prefix}*"}
        message = await api.get(self._connection, self.channel.stream, query)
        if message is None:
            return last
        await self._retained.refresh()  # what was before the message may have left the stream
        if self._retained.covers(moment):
            return await self._retained.before(moment)
        return message.sequence - 1

    async def enlist(self, worker: str) -> None:
        """Make the durable work queue of a worker, if it is new."""
        await enlist(self._connection, self.channel, worker)

    @asynccontextmanager
    async def work(self, worker: str) -> AsyncIterator[AsyncIterator[Delivery]]:
        """Iterate over the deliveries of a work queue."""
        queue = WorkQueue(self._connection, self.channel, self._epoch, worker)
        try:
            yield queue
        finally:
            await queue.close()

    async def _read(self, query: dict[str, Any]) -> StoredEvent | None:
        message = await api.get(self._connection, self.channel.stream, query)
        if message is None:
            return None
        stored = StoredEvent.read(message.sequence, message.data, self.channel.columns)
        self._found = max(self._found, stored.sequence)  # only now: no follower gets a damaged one
        return stored


def _settle(outcome: asyncio.Future[Appended], result: Appended | EventHubError) -> None:
    if outcome.done():  # the waiting task was cancelled
        return
    if isinstance(result, EventHubError):
        outcome.set_exception(result)
    else:
        outcome.set_result(result)
