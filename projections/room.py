"""Room: how many bytes may wait for their readers, in memory and on disk.

There is a limit for each client, and one for all clients together. The largest snapshot counts
toward neither, so that a client can read a table of any size. If a snapshot needs room that is not
there, slow readers are cut off; if that does not help, the snapshot is refused.
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
CHECK_SECONDS = 0.1
"""Between two checks whether there is room."""

logger = structlog.get_logger(__name__)


class NoRoom(Unavailable):
    """Rows that clients have not read take all the room."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="too_many_reads")


_CLIENT_FULL = (
    "too many rows wait for you to read them: read them, or close connections that you do not"
    " read, and try again"
)
_ALL_FULL = "too many rows wait for clients to read them: try again later"


class Room:
    """The limits, and what counts toward them.

    Args:
        each: bytes for one client, in addition to its largest snapshot.
        in_all: bytes for all clients together, in addition to the largest snapshot.
    """

    def __init__(self, each: int, in_all: int) -> None:
        self._each = each
        self._all = _Account(in_all, _ALL_FULL)
        self._accounts: dict[Hashable, _Account] = {}
        self._lock = Lock()

    def holding(self, client: Hashable) -> "Holding":
        """Return an empty holding of a client; with None it counts toward no client's limit."""
        key = object() if client is None else client
        with self._lock:
            own = self._accounts.setdefault(key, _Account(self._each, _CLIENT_FULL))
            holding = Holding(self, own, self._all, key)
            own.holdings.add(holding)
            self._all.holdings.add(holding)
        return holding

    def grow(self, holding: "Holding", size: int) -> None:
        """Add bytes to a holding. Any thread may call this."""
        with self._lock:
            if holding not in self._all.holdings:
                return  # it was closed just now
            holding.size += size
            for account in holding.accounts:
                account.used += size
                if account.largest is None or holding.size > account.largest.size:
                    account.largest = holding

    def leave(self, holding: "Holding") -> None:
        """End a holding. Any thread may call this."""
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
        """Return the account that is full for a holding: its client's, or that of all; or None."""
        with self._lock:
            return next((each for each in holding.accounts if each.is_full_for(holding)), None)

    def slow(self, account: "_Account") -> list[Pace]:
        """Return the readers of an account that are slow."""
        with self._lock:
            holdings = tuple(account.holdings)
        return [pace for each in holdings for pace in each.readers if pace.is_slow]


class _Account:
    """The holdings that count toward one limit."""

    def __init__(self, limit: int, message: str) -> None:
        self._limit = limit
        self.message = message
        """The error if the account is full."""
        self.used = 0
        self.holdings: set[Holding] = set()
        self.largest: Holding | None = None
        self.waiting = 0
        """Snapshots that wait to begin."""
        self.checked_at = 0.0

    def is_full_for(self, holding: "Holding") -> bool:
        """Tell whether one of its holdings must not grow."""
        if self.largest is None or self.largest is holding:
            return False
        return self.used - self.largest.size >= self._limit


class Holding:
    """The bytes that wait for the readers of one snapshot."""

    def __init__(self, room: Room, own: _Account, of_all: _Account, client: Hashable) -> None:
        self._room = room
        self.client = client
        self.accounts = (own, of_all)
        self.size = 0
        self.readers: set[Pace] = set()

    @property
    def has_room(self) -> bool:
        """Tell whether the holding may grow."""
        return self._room.full(self) is None

    def grow(self, size: int) -> None:
        """Add bytes. Any thread may call this."""
        self._room.grow(self, size)

    def leave(self) -> None:
        """End the holding. Any thread may call this."""
        self._room.leave(self)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Pace]:
        """Register a reader for the length of the block; errors as in `Pace.cuttable`."""
        pace = Pace()
        self.readers.add(pace)
        try:
            async with pace.cuttable():
                yield pace
        finally:
            self.readers.discard(pace)

    async def begin(self, seconds: float) -> None:
        """Wait for room before the first bytes; errors as in `wait`."""
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
        """Wait for room; meanwhile slow readers are cut off.

        Raises:
            NoRoom: there was none in `seconds`.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while (full := self._room.full(self)) is not None:
            now = loop.time()
            if now >= ends:
                raise NoRoom(full.message)
            if now - full.checked_at >= CHECK_SECONDS:
                full.checked_at = now
                self._cut(full)
            await asyncio.sleep(CHECK_SECONDS)

    def _cut(self, account: _Account) -> None:
        if slow := self._room.slow(account):
            logger.info("slow_readers_cut", readers=len(slow))
            for pace in slow:
                pace.cut()


def _size(holding: Holding) -> int:
    return holding.size
