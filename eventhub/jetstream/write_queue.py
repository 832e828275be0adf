"""WriteQueue: the writes that wait for a stream, and which of them may go to the broker together.

A round is the front of the queue, in order. It holds each row once, because the broker checks every
message of a batch against the row's last event before the batch. Rounds that are under way at the
same time have no row and no sender in common, so that one of them may fail and be sent again
without overtaking an earlier write of the same sender.
"""

import asyncio
from collections import deque
from collections.abc import Hashable, Iterator, Sequence

from eventhub.errors import Unavailable
from eventhub.jetstream.write import Write

BATCH = 1000
"""Messages of one atomic batch: the server's limit."""
ROUND_BYTES = 4 << 20
"""Of payloads in one round."""
QUEUE_COUNT = 20_000
"""Writes that may wait; when the queue is full, the next writer waits for room."""
QUEUE_BYTES = 64 << 20
UNAVAILABLE_SECONDS = 5.0
"""How long a write waits for the connection before it is refused."""
ROOM_SECONDS = 30.0
"""How long a writer waits for room, however many wait before it."""
GATHER_SECONDS = 0.0004
"""Between two looks at whether the writers that were just answered write again."""
MOST_GATHER_SECONDS = 0.004
"""Two batches of 64 take as long."""


class WriteQueue:
    """Waiting writes, bounded in number and bytes, first in, first out."""

    def __init__(self) -> None:
        self._writes: deque[Write] = deque()
        self._bytes = 0
        self._busy: set[Hashable] = set()  # subjects and senders of the rounds under way
        self._latest = 0  # writes of the newest round
        self.gathers = False
        """The newest round was a batch: it is worth a wait that the next one is as large."""
        self._drained = asyncio.Event()
        self._entrance = asyncio.Lock()  # first come, first served
        self._now = asyncio.get_running_loop().time

    def __len__(self) -> int:
        return len(self._writes)

    def __iter__(self) -> Iterator[Write]:
        return iter(self._writes)

    @property
    def has_room(self) -> bool:
        """Tell whether `put` may be called now: there is room, and no writer waits for it."""
        return not (self._is_full or self._entrance.locked())

    async def room(self) -> None:
        """Wait until there is room, first come, first served.

        A burst is slowed down and not refused, as long as the broker stores.

        Raises:
            Unavailable: there was none for `ROOM_SECONDS`.
        """
        if self.has_room:
            return
        async with self._entrance:
            try:
                async with asyncio.timeout(ROOM_SECONDS):
                    while self._is_full:
                        self._drained.clear()
                        await self._drained.wait()
            except TimeoutError:
                raise Unavailable("the event log is too slow; nothing was stored") from None

    def put(self, write: Write) -> int:
        """Append a write, and return how many wait; there was room, as the caller has checked."""
        write.give_up = self._now() + UNAVAILABLE_SECONDS
        self._writes.append(write)
        self._bytes += len(write.payload)
        return len(self._writes)

    @property
    def may_grow(self) -> bool:
        """Tell whether `gather` would wait."""
        return self.gathers and len(self._writes) < self._latest

    async def gather(self) -> None:
        """Wait for more writes, as long as more come, up to the size of the round before.

        The writers that were answered last may write again at once. Without this pause the first of
        them would be a small round, and all others would wait for its fsyncs.
        """
        give_up = self._now() + MOST_GATHER_SECONDS
        seen = 0 if self.gathers else self._latest
        while seen < len(self._writes) < self._latest and self._now() < give_up:
            seen = len(self._writes)
            await asyncio.sleep(GATHER_SECONDS)

    def take(self, least: int = 1) -> list[Write]:
        """Take the next round off the queue; writes that were forgotten meanwhile are dropped.

        The round ends before the first write whose row or sender is in a round under way. If it
        would have fewer than `least` writes, nothing is taken.
        """
        subjects: set[str] = set()
        count = size = 0
        for write in self._writes:
            if write.subject in subjects or count == BATCH or size >= ROUND_BYTES:
                break
            if write.subject in self._busy or write.sender in self._busy:
                break
            subjects.add(write.subject)
            size += len(write.payload)
            count += 1
        if count < least:
            return []
        taken = []
        for _ in range(count):
            write = self._writes.popleft()
            if not write.is_settled:
                taken.append(write)
                self._busy.add(write.subject)
                if write.sender is not None:
                    self._busy.add(write.sender)
        self._bytes -= size
        self._drained.set()
        self._latest = len(taken)
        return taken

    def release(self, writes: Sequence[Write]) -> None:
        """Note that a round is over: its rows and senders may be in another one."""
        for write in writes:
            self._busy.discard(write.subject)
            self._busy.discard(write.sender)

    @property
    def _is_full(self) -> bool:
        return len(self._writes) >= QUEUE_COUNT or self._bytes >= QUEUE_BYTES
