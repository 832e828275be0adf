"""Fan-out: one follower of a channel's log, and everyone who is up to date with it.

Subscribers that want the same frames in the same form are one group: an event is decided and
encoded once for the group, and the bytes are written to each socket. One turn of the loop makes
at most one write for each connection. A subscriber whose socket is full leaves its group and is
nothing but a position until it has caught up; nothing is ever queued for it here.

Attaching happens without an await between the check and the act, so that a subscriber at
position P gets everything after P, exactly once.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Coroutine, Hashable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import structlog

from eventhub import metrics
from eventhub.event import Position, StoredEvent
from eventhub.filters import Query
from eventhub.gateway import protocol
from eventhub.gateway.protocol import Form
from eventhub.gateway.subscription import Told, frame, recorded, told_of
from eventhub.stream import EventStream

log = structlog.get_logger()

RING_BYTES = 16 << 20
"""Payload bytes of recent events kept for those who just fell behind, for each channel."""
TURN_EVENTS = 64
"""Events handed out in one turn of the loop: what a burst may block everything else for."""
MAX_STREAM_READERS = 4
"""Laggards that read the log at once: each further consumer slows the broker's writes."""

FrameMemo = dict[Hashable, bytes]
"""Frames of one batch already encoded: groups that differ in form only share them."""


class View:
    """What one group of subscribers sees of the events: form, filter, columns, rows or history."""

    def __init__(self, form: Form, query: Query, *, history: bool, epoch: str) -> None:
        self.form = form
        self.query = query
        self.history = history
        self._epoch = epoch
        self._decide = recorded if history else told_of
        self.key: Hashable = (form, query.filter.key, query.picks, history)

    def frames(self, batch: Iterable[StoredEvent], memo: FrameMemo | None = None) -> list[bytes]:
        """Return the frames that tell of events, in order, as bytes for the socket."""
        memo = {} if memo is None else memo
        parts = []
        for stored in batch:
            told = self._decide(stored.event, self.query.filter)
            if told is not Told.NOTHING:
                payload = self._payload(told, stored, memo)
                parts.append(protocol.wire(self.form, payload, self.position(stored.sequence)))
        return parts

    def tells(self, stored: StoredEvent) -> bool:
        """Tell whether there is a frame for an event."""
        return self._decide(stored.event, self.query.filter) is not Told.NOTHING

    def position(self, sequence: int) -> Position:
        """Return a sequence as the position that a client keeps."""
        return Position(self._epoch, sequence)

    def _payload(self, told: Told, stored: StoredEvent, memo: FrameMemo) -> bytes:
        key = (stored.sequence, told, self.query.picks, self.form.sequenced)
        payload = memo.get(key)
        if payload is None:
            sequenced = self.form.sequenced
            payload = protocol.encode(frame(told, stored, self.query, sequenced=sequenced))
            memo[key] = payload
        return payload


class Member(Protocol):
    """What the fan-out needs to know of a subscriber."""

    view: View
    position: int

    @property
    def push(self) -> Callable[[bytes], bool]:
        """Write to the socket; False if it is full now."""

    def beat(self) -> None:
        """Say that all is well: nothing was told for a while."""

    async def catch_up(self) -> None:
        """Read on from `position` until attached again."""


@dataclass(slots=True)
class Group:
    """Subscribers that are told the same."""

    view: View
    members: set[Member] = field(default_factory=set)
    is_quiet: bool = False
    """Nothing was told since the last heartbeat."""


class Ring:
    """Recent events in order, bounded in payload bytes."""

    def __init__(self, floor: int, max_bytes: int = RING_BYTES) -> None:
        self._events: deque[StoredEvent] = deque()
        self._bytes = 0
        self._max_bytes = max_bytes
        self._floor = floor

    def extend(self, batch: Iterable[StoredEvent]) -> None:
        """Add events; forget the oldest beyond the bound."""
        for stored in batch:
            self._events.append(stored)
            self._bytes += stored.size
        while self._bytes > self._max_bytes:
            oldest = self._events.popleft()
            self._bytes -= oldest.size
            self._floor = oldest.sequence

    def after(self, position: int, count: int) -> list[StoredEvent] | None:
        """Return the next events after a position, or None if some are forgotten."""
        if position < self._floor:
            return None
        start = bisect_right(self._events, position, key=lambda stored: stored.sequence)
        return list(islice(self._events, start, start + count))


class Fanout:
    """One channel's subscribers, and its newest events."""

    def __init__(self, stream: EventStream, after: int, heartbeat: float) -> None:
        self._stream = stream
        self._heartbeat = heartbeat
        self._ring = Ring(after)
        self._groups: dict[Hashable, Group] = {}
        self._delivered = metrics.DELIVERED.labels(stream.channel.name)
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._tasks: asyncio.TaskGroup | None = None
        self.head = after
        """Sequence of the last event handed out."""
        self.listeners: list[Callable[[list[StoredEvent]], None]] = []
        """Called with every batch before the subscribers are told."""
        self.stream_readers = asyncio.Semaphore(MAX_STREAM_READERS)

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._stream.channel.name

    async def run(self) -> None:
        """Follow the log until cancelled; owns the tasks of those who catch up."""
        async with AsyncExitStack() as stack:
            batches = await stack.enter_async_context(self._stream.follow(self.head))
            self._tasks = await stack.enter_async_context(asyncio.TaskGroup())
            self._tasks.create_task(self._beat(), name="heartbeat")
            async for batch in batches:
                for start in range(0, len(batch), TURN_EVENTS):
                    self.publish(batch[start : start + TURN_EVENTS])
                    await asyncio.sleep(0)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a subscriber's task under this fan-out, which ends it when it ends.

        Raises:
            RuntimeError: the fan-out does not run.
        """
        if self._tasks is None:
            work.close()
            raise RuntimeError("the fan-out does not run")
        return self._tasks.create_task(work)

    def publish(self, batch: list[StoredEvent]) -> None:
        """Hand out events to everyone who is up to date."""
        self.head = batch[-1].sequence
        self._ring.extend(batch)
        for listener in self.listeners:
            listener(batch)
        memo: FrameMemo = {}
        for group in tuple(self._groups.values()):
            frames = group.view.frames(batch, memo)
            if frames:
                self._push(group, frames)
        self._wake()

    def attach(self, member: Member) -> bool:
        """Add a subscriber to those who are up to date, if it is: its position is the head."""
        if member.position != self.head:
            return False
        group = self._groups.get(member.view.key)
        if group is None:
            group = self._groups[member.view.key] = Group(member.view)
        group.members.add(member)
        return True

    def detach(self, member: Member) -> None:
        """Forget a subscriber; no error if it is not attached."""
        group = self._groups.get(member.view.key)
        if group is None:
            return
        group.members.discard(member)
        if not group.members:
            del self._groups[member.view.key]

    def is_attached(self, member: Member) -> bool:
        """Tell whether a subscriber is up to date: its position is then `head`."""
        group = self._groups.get(member.view.key)
        return group is not None and member in group.members

    def recent(self, position: int, count: int = TURN_EVENTS) -> list[StoredEvent] | None:
        """Return the next events after a position from memory, or None if they are not there."""
        return self._ring.after(position, count)

    async def reached(self, sequence: int, timeout: float) -> None:
        """Wait until everything up to a sequence was handed out.

        Raises:
            TimeoutError: it was not, in `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            while self.head < sequence:
                waiter = asyncio.get_running_loop().create_future()
                self._waiting.append((sequence, waiter))
                await waiter

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for sequence, waiter in waiting:
            if sequence > self.head:
                self._waiting.append((sequence, waiter))
            elif not waiter.done():
                waiter.set_result(None)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat)
            for group in tuple(self._groups.values()):
                if group.is_quiet:
                    for member in tuple(group.members):
                        member.beat()
                group.is_quiet = True

    def _push(self, group: Group, frames: list[bytes]) -> None:
        group.is_quiet = False
        self._delivered.inc(len(frames) * len(group.members))
        data = b"".join(frames)
        for member in tuple(group.members):
            if not member.push(data):
                self._lag(member)

    def _lag(self, member: Member) -> None:
        member.position = self.head
        self.detach(member)
        _ = self.spawn(member.catch_up())
