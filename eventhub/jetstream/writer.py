"""Writer: group commit. All appends to one stream of this process go through one queue.

While one round is stored, the next one gathers (`write_queue`). A few waiting writes are published
one by one (`singles`), more of them as one atomic batch (`batches`). Once a whole batch of other
rows and senders waits, it is sent ahead, so that the server stores while the hub reads and answers.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from eventhub.errors import Unavailable
from eventhub.jetstream.batches import Batches
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.publisher import Publisher
from eventhub.jetstream.singles import Singles
from eventhub.jetstream.write import Write
from eventhub.jetstream.write_queue import SINGLES, WriteQueue

AHEAD = 192
"""Waiting writes that are sent while a batch is under way; 128 or 256 are no faster."""
MOST_UNDER_WAY = 4
"""Batches at once; the server stores one after the other."""


class Writer:
    """Appends to one stream. `run` does the work, as one of the log's background tasks."""

    def __init__(self, connection: Connection, stream: str, *, atomic: bool) -> None:
        self._atomic = atomic
        self._queue = WriteQueue()
        self._publisher = Publisher(connection)
        self._singles = Singles(self._publisher, connection, stream)
        self._batches = Batches(self._publisher, self._release, self._on_doubt)
        self._doubtful: deque[Sequence[Write]] = deque()  # of batches; stored before anything else
        self._wake = asyncio.Event()
        self._closed = False

    @property
    def newest(self) -> int:
        """Highest sequence that was acknowledged."""
        return self._publisher.newest

    @property
    def has_room(self) -> bool:
        """Tell whether `put` may be called now."""
        return self._queue.has_room

    async def room(self) -> None:
        """Wait until `put` may be called; errors as `WriteQueue.room`."""
        await self._queue.room()

    def put(self, write: Write) -> None:
        """Queue a write; it is settled once its outcome is known."""
        if self._closed:
            write.settle(Unavailable("the event log is closed; nothing was stored"))
            return
        self._queue.put(write)
        if not self._batches:
            self._wake.set()
        if len(self._queue) % AHEAD == 0:
            self._send_ahead()

    async def run(self) -> None:
        """Store what is queued, round after round, until cancelled."""
        writes: Sequence[Write] = []
        try:
            while True:
                if self._doubtful:
                    writes = self._doubtful.popleft()
                elif self._queue and not self._batches:
                    await self._queue.gather()
                    writes = self._queue.take()
                    if await self._is_worth_a_batch(writes):
                        self._batches.send(writes)
                        continue
                else:  # while batches are under way, the next round gathers
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                await self._singles.store(writes)
                self._release(writes)
        finally:
            self._closed = True
            for group in (writes, *self._batches, *self._doubtful, self._queue):
                for write in group:
                    write.abandon()

    async def _is_worth_a_batch(self, writes: Sequence[Write]) -> bool:
        """Tell whether a round goes out as one batch; wait for the connection if it does."""
        if not self._atomic or len(writes) <= SINGLES:
            return False
        return await self._publisher.ready(min(write.give_up for write in writes))

    def _send_ahead(self) -> None:
        """Send a whole batch now, if one waits and the server can be reached."""
        if not (self._atomic and self._publisher.is_ready):
            return
        if len(self._batches) < MOST_UNDER_WAY and (writes := self._queue.take(AHEAD)):
            self._batches.send(writes)

    def _release(self, writes: Sequence[Write]) -> None:
        """Let the next round have the rows and senders of one that is over."""
        self._queue.release(writes)
        if len(self._queue) >= AHEAD:
            self._send_ahead()
        if self._queue and not self._batches:
            self._wake.set()

    def _on_doubt(self, writes: Sequence[Write]) -> None:
        self._doubtful.append(writes)
        self._wake.set()
