"""Slots: work of which little may run at once, shared fairly between clients.

Waiting clients take turns: a client that asks often waits behind its own requests, not ahead of
other clients. The slots and the waiting requests of each client are bounded.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from eventhub.errors import Unavailable


class Slots:
    """A number of slots.

    Args:
        count: slots in all.
        each: slots that one client may hold at once.
        waiting: requests of one client that may wait; further ones are refused.
        what: names the work in errors, as in "too many others read the projection".
    """

    def __init__(self, count: int, *, each: int, waiting: int, what: str) -> None:
        self._free = count
        self._each = each
        self._max_waiting = waiting
        self._what = what
        self._taken: Counter[Hashable] = Counter()
        self._queues: dict[Hashable, deque[asyncio.Future[None]]] = {}
        """Waiting requests by client; the client whose turn it is next comes first."""

    @asynccontextmanager
    async def take(self, client: Hashable, timeout: float) -> AsyncIterator[None]:
        """Hold a slot for the length of a block, after waiting for it if necessary.

        Raises:
            Unavailable: `too_many_reads`: too many requests of this client wait already;
                `unavailable`: no slot became free for it within `timeout` seconds.
        """
        await self._acquire(client, timeout)
        try:
            yield
        finally:
            self._release(client)

    async def _acquire(self, client: Hashable, timeout: float) -> None:
        queue = self._queues.get(client)
        if not queue and self._free and self._taken[client] < self._each:
            self._grant(client)
            return
        if queue is None:
            queue = self._queues[client] = deque()
        if len(queue) >= self._max_waiting:
            message = f"you {self._what} {len(queue)} times already: try again when one is done"
            raise Unavailable(message, code="too_many_reads")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(timeout):
                await turn
        except TimeoutError:
            self._give_up(client, turn)
            raise Unavailable(f"too many others {self._what}: try again later") from None
        except BaseException:
            self._give_up(client, turn)
            raise

    def _give_up(self, client: Hashable, turn: asyncio.Future[None]) -> None:
        """Leave the queue; a slot that was granted at this very moment goes on to the next."""
        if turn.done() and not turn.cancelled():
            self._release(client)
            return
        queue = self._queues.get(client)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._queues[client]

    def _grant(self, client: Hashable) -> None:
        self._free -= 1
        self._taken[client] += 1

    def _release(self, client: Hashable) -> None:
        self._free += 1
        self._taken[client] -= 1
        if not self._taken[client]:
            del self._taken[client]
        for waiting in list(self._queues):
            if not self._free:
                return
            if self._taken[waiting] >= self._each:
                continue
            queue = self._queues.pop(waiting)
            while queue and queue[0].done():  # cancelled, and not out of the queue yet
                del queue[0]
            if queue:
                self._grant(waiting)
                queue.popleft().set_result(None)
            if queue:
                self._queues[waiting] = queue  # behind all others
