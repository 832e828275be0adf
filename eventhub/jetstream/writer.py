"""Writer: group commit. All appends to one stream of this process go through one queue.

While one round is stored, the next one gathers (`write_queue`). It is published one by one
(`singles`) or as one atomic batch (`batches`), whichever costs less (`costs`). Once a whole batch
of other rows and senders waits, it is sent ahead, so that the server stores while the hub reads and
answers.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import chain
from time import perf_counter

from eventhub.errors import Unavailable
from eventhub.jetstream.batches import Batches
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.costs import Costs
from eventhub.jetstream.publisher import Publisher
from eventhub.jetstream.singles import Singles, Unsettled
from eventhub.jetstream.write import Write
from eventhub.jetstream.write_queue import WriteQueue

AHEAD = 192
"""Waiting writes that are sent while a batch is under way; 128 or 256 are no faster."""
MOST_UNDER_WAY = 4
"""Batches at once; the server stores one after the other."""

Attempt = tuple[Sequence[Write], Sequence[Unsettled]]
"""A round that was sent, and what is known of its writes that may not be stored."""


class Writer:
    """Appends to one stream. `run` does the work, as one of the log's background tasks."""

    def __init__(self, connection: Connection, stream: str, *, atomic: bool) -> None:
        self._atomic = atomic
        self._queue = WriteQueue()
        self._publisher = Publisher(connection)
        self._singles = Singles(self._publisher, connection, stream)
        self._batches = Batches(self._publisher, self._on_batch, self._on_doubt)
        self._doubtful: deque[Attempt] = deque()  # stored before anything else
        self._attempt: Attempt = (), ()
        """What `run` stores."""
        self._costs = Costs()
        self._sent_at: float | None = None
        """When the round under way was sent, on a finer clock than the loop's; None if two are."""
        self._single: Sequence[Write] = ()
        """The round that is published one by one."""
        self._is_waiting = False
        """`run` stores something, or waits for what a round needs."""
        self._is_called = False
        self._wake = asyncio.Event()
        self._closed = False
        self._loop = asyncio.get_running_loop()

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
        waiting = self._queue.put(write)
        self._begin_soon()
        if waiting % AHEAD == 0:
            self._send_ahead()

    async def run(self) -> None:
        """Store what cannot be sent at once, until cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                self._is_waiting = True
                while self._doubtful:
                    self._attempt = self._doubtful.popleft()
                    await self._singles.store(*self._attempt)
                    self._queue.release(self._attempt[0])
                if self._queue and not self._is_busy:
                    await self._queue.gather()
                    self._attempt = self._queue.take(), ()
                    if await self._is_worth_a_batch(self._attempt[0]):
                        self._send_batch(self._attempt[0])
                    else:
                        await self._store_singly(self._attempt[0])
                self._is_waiting = False
                self._begin_soon()
        finally:
            self.close()

    def close(self) -> None:
        """Abandon what waits, and store nothing more.

        `run` does it at its end; its owner does it too, because a task that is cancelled before its
        first turn never begins.
        """
        self._closed = True
        doubtful = (writes for writes, _ in (self._attempt, *self._doubtful))
        under_way = self._batches.under_way.values()
        for write in chain(*doubtful, self._single, *under_way, self._queue):
            write.abandon()

    def _begin_soon(self) -> None:
        """Start the next round once the loop has taken everything that comes with this write."""
        if not (self._is_called or self._is_busy or self._is_waiting):
            self._is_called = True
            self._loop.call_soon(self._begin)

    @property
    def _is_busy(self) -> bool:
        """A round is under way; the next one gathers."""
        return bool(self._single or self._batches.under_way)

    def _begin(self) -> None:
        """Send the next round, or leave that to `run` if something has to be waited for."""
        self._is_called = False
        if self._is_busy or self._is_waiting or self._closed:
            return
        if self._doubtful or self._queue.may_grow or not self._publisher.is_ready:
            if self._doubtful or self._queue:
                self._wake.set()
            return
        writes = self._queue.take()
        if self._atomic and self._costs.chooses_batch(len(writes)):
            self._send_batch(writes)
        elif writes:
            self._single, self._sent_at = writes, perf_counter()
            self._queue.gathers = False
            self._singles.send(writes, self._on_replies)
        elif self._queue:  # no caller waits for those that were taken
            self._begin_soon()

    def _send_batch(self, writes: Sequence[Write]) -> None:
        self._sent_at = None if self._batches.under_way else perf_counter()
        self._queue.gathers = True
        self._batches.send(writes)

    def _on_replies(self, writes: Sequence[Write], left: Sequence[Unsettled]) -> None:
        self._single = ()
        if left:
            self._on_doubt(writes, left)
        else:
            self._measure(writes, is_batch=False)
            self._release(writes)

    def _on_batch(self, writes: Sequence[Write]) -> None:
        self._measure(writes, is_batch=True)
        self._release(writes)

    def _measure(self, writes: Sequence[Write], *, is_batch: bool) -> None:
        if self._sent_at is not None:
            seconds = perf_counter() - self._sent_at
            self._costs.note(len(writes), is_batch=is_batch, seconds=seconds)

    async def _store_singly(self, writes: Sequence[Write]) -> None:
        self._queue.gathers, began = False, perf_counter()
        await self._singles.store(writes)
        self._costs.note(len(writes), is_batch=False, seconds=perf_counter() - began)
        self._queue.release(writes)

    async def _is_worth_a_batch(self, writes: Sequence[Write]) -> bool:
        """Tell whether a round goes out as one batch; wait for the connection if it does."""
        if not (self._atomic and self._costs.chooses_batch(len(writes))):
            return False
        return await self._publisher.ready(min(write.give_up for write in writes))

    def _send_ahead(self) -> None:
        """Send a whole batch now, if one waits and the server can be reached."""
        if not (self._atomic and self._publisher.is_ready and self._costs.prefers_batch(AHEAD)):
            return
        if len(self._batches.under_way) < MOST_UNDER_WAY and (writes := self._queue.take(AHEAD)):
            self._send_batch(writes)

    def _release(self, writes: Sequence[Write]) -> None:
        """Let the next round have the rows and senders of one that is over."""
        self._queue.release(writes)
        if len(self._queue) >= AHEAD:
            self._send_ahead()
        if self._queue:
            self._begin_soon()

    def _on_doubt(self, writes: Sequence[Write], left: Sequence[Unsettled] = ()) -> None:
        self._doubtful.append((writes, left))
        self._wake.set()
