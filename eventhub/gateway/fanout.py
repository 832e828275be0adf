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
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from itertools import islice
from typing import Any

import structlog

from eventhub import metrics
from eventhub.event import StoredEvent
from eventhub.gateway.groups import Group, Groups, Member
from eventhub.gateway.view import FrameMemo
from eventhub.stream import EventStream

log = structlog.get_logger()

RING_BYTES = 16 << 20
"""Payload bytes of recent events kept for those who just fell behind, for each channel."""
TURN_EVENTS = 64
"""Events handed out in one turn of the loop: what a burst may block everything else for."""
MAX_STREAM_READERS = 4
"""Laggards that read the log at once: each further consumer slows the broker's writes."""


class Ring:
    """Recent events in order, bounded in payload bytes."""

    def __init__(self, floor: int, max_bytes: int) -> None:
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

    def __init__(
        self, stream: EventStream, after: int, heartbeat: float, ring_bytes: int = RING_BYTES
    ) -> None:
        self._stream = stream
        self._heartbeat = heartbeat
        self._ring = Ring(after, ring_bytes)
        self._groups = Groups()
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
        told: dict[Group, list[bytes]] = {}
        for stored in batch:
            for group in self._groups.concerned(stored):
                if frame := group.view.frame(stored, memo):
                    told.setdefault(group, []).append(frame)
        for group, frames in told.items():
            self._push(group, frames)
        self._wake()

    def attach(self, member: Member) -> bool:
        """Add a subscriber to those who are up to date, if it is: its position is the head."""
        if member.position != self.head:
            return False
        self._groups.add(member)
        return True

    def detach(self, member: Member) -> None:
        """Forget a subscriber; no error if it is not attached."""
        self._groups.discard(member)

    def is_attached(self, member: Member) -> bool:
        """Tell whether a subscriber is up to date: its position is then `head`."""
        return member in self._groups

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
            for group in self._groups:
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
