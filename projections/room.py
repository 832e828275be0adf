"""Room: how much may wait, in memory and on disk, for those who read it.

Each client has a share, and there is a limit for all. The largest of what is held counts for
neither: however large a table is, one can read it. Where room is wanted that is not there, readers
that are too slow are cut, and then whoever wants it is refused.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from threading import Lock

import structlog

from eventhub.errors import Unavailable
from projections.pace import Pace

MAX_WAITING = 20
"""Reads of one client that may wait for room before they begin."""
LOOK_SECONDS = 0.1
"""Between two looks whether there is room."""

logger = structlog.get_logger(__name__)


class NoRoom(Unavailable):
    """What others have not read takes all the room."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="too_many_reads")


_YOURS = (
    "the rows that were found for you and that you have not taken are too many: take them, or close"
    " what you do not read, and try again"
)
_OF_ALL = "the rows that were found for clients and not yet taken are too many: try again"


class Room:
    """What is held for a number of clients together.

    Args:
        each: bytes for one client, beside the largest holding of it.
        in_all: bytes for all clients, beside the largest holding.
    """

    def __init__(self, each: int, in_all: int) -> None:
        self._each = each
        self._all = _Account(in_all, _OF_ALL)
        self._accounts: dict[Hashable, _Account] = {}
        self._lock = Lock()

    def holding(self, client: Hashable) -> "Holding":
        """Return something new to hold; None is the account of nobody."""
        key = object() if client is None else client
        with self._lock:
            own = self._accounts.setdefault(key, _Account(self._each, _YOURS))
            holding = Holding(self, own, self._all, key)
            own.holdings.add(holding)
            self._all.holdings.add(holding)
        return holding

    def grow(self, holding: "Holding", size: int) -> None:
        """Hold more. It may be called in any thread."""
        with self._lock:
            if holding not in self._all.holdings:
                return  # it was closed in this moment
            holding.size += size
            for account in holding.accounts:
                account.used += size
                if account.largest is None or holding.size > account.largest.size:
                    account.largest = holding

    def leave(self, holding: "Holding") -> None:
        """Hold it no more. It may be called in any thread."""
        with self._lock:
            for account in holding.accounts:
                account.holdings.discard(holding)
                account.used -= holding.size
                if account.largest is holding:
                    account.largest = max(account.holdings, key=_size, default=None)
            holding.size = 0
            own = self._accounts.get(holding.client)
            if own is not None and not own.holdings:
                del self._accounts[holding.client]

    def full(self, holding: "Holding") -> "_Account | None":
        """Return what keeps it from holding more: its client's account, or that of all."""
        with self._lock:
            return next((each for each in holding.accounts if each.is_full_for(holding)), None)

    def slow(self, account: "_Account") -> list[Pace]:
        """Return the readers of an account that are too slow."""
        with self._lock:
            holdings = tuple(account.holdings)
        return [pace for each in holdings for pace in each.readers if pace.is_slow]


class _Account:
    """What is held together."""

    def __init__(self, limit: int, message: str) -> None:
        self._limit = limit
        self.message = message
        """Told to who finds it full."""
        self.used = 0
        self.holdings: set[Holding] = set()
        self.largest: Holding | None = None
        self.waiting = 0
        """Who wants to begin."""
        self.looked_at = 0.0

    def is_full_for(self, holding: "Holding") -> bool:
        """Tell whether one of what it holds must not grow."""
        if self.largest is None or self.largest is holding:
            return False
        return self.used - self.largest.size >= self._limit


class Holding:
    """What is held for the readers of one snapshot."""

    def __init__(self, room: Room, own: _Account, of_all: _Account, client: Hashable) -> None:
        self._room = room
        self.client = client
        self.accounts = (own, of_all)
        self.size = 0
        self.readers: set[Pace] = set()

    @property
    def has_room(self) -> bool:
        """Tell whether it may grow."""
        return self._room.full(self) is None

    def grow(self, size: int) -> None:
        """Hold more. It may be called in any thread."""
        self._room.grow(self, size)

    def leave(self) -> None:
        """Hold nothing any more. It may be called in any thread."""
        self._room.leave(self)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Pace]:
        """Read it, at a pace that is noted; errors as `Pace.cuttable`."""
        pace = Pace()
        self.readers.add(pace)
        try:
            async with pace.cuttable():
                yield pace
        finally:
            self.readers.discard(pace)

    async def begin(self, seconds: float) -> None:
        """Wait for room before anything is held; errors as `wait`."""
        if self.has_room:
            return
        own = self.accounts[0]
        if own.waiting >= MAX_WAITING:
            raise NoRoom(own.message)
        own.waiting += 1
        try:
            await self.wait(seconds)
        finally:
            own.waiting -= 1

    async def wait(self, seconds: float) -> None:
        """Wait for room; meanwhile readers that are too slow are cut.

        Raises:
            NoRoom: there was none in so many seconds.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while (full := self._room.full(self)) is not None:
            now = loop.time()
            if now >= ends:
                raise NoRoom(full.message)
            if now - full.looked_at >= LOOK_SECONDS:
                full.looked_at = now
                self._cut(full)
            await asyncio.sleep(LOOK_SECONDS)

    def _cut(self, account: _Account) -> None:
        if slow := self._room.slow(account):
            logger.info("slow_readers_cut", readers=len(slow))
            for pace in slow:
                pace.cut()


def _size(holding: Holding) -> int:
    return holding.size
