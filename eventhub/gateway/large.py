"""Large: the few large messages that are under way at once, so that small ones never wait for them.

A message of a megabyte is held several times on its way: as it came, as text, as an event, in the
broker's connection and in its answer to the followers. So only some are read at once; whoever sends
one more is not read from until one of them is stored or refused.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from eventhub.ingest.decoding import parse_json

LARGE_BYTES: Final = 64 << 10
"""From this size on a message is a large one."""
UNDER_WAY_BYTES: Final = 64 << 20
"""Of large messages that are under way at once, each as large as any may be."""

BYTES_A_SECOND: Final = 16 << 20
"""Of large messages, of all clients: a megabyte is 10 to 20 ms of the loop, wherever it passes."""
LATE_SECONDS: Final = 30.0
"""That a large message may take to come while others wait for its place."""


class Large:
    """The places of large messages."""

    def __init__(self, max_bytes: int) -> None:
        """Make places.

        Args:
            max_bytes: of the largest message that is read at all.
        """
        self._free = max(1, UNDER_WAY_BYTES // max_bytes)
        self._waiting: deque[Callable[[], None]] = deque()
        self._paid = 0.0
        """When the next one may begin."""
        self._timer: asyncio.TimerHandle | None = None
        self._decoding = asyncio.Lock()

    @property
    def is_wanted(self) -> bool:
        """Somebody waits for a place."""
        return bool(self._waiting)

    def take(self, granted: Callable[[], None]) -> bool:
        """Take a place if one is free; else `granted` is called once it is taken."""
        if self._free and not self._waiting and self._now() >= self._paid:
            self._free -= 1
            return True
        self._waiting.append(granted)
        self._grant()
        return False

    def give(self) -> None:
        """Give a place to who has waited longest."""
        self._free += 1
        self._grant()

    def note(self, size: int) -> None:
        """Count the bytes of a message that came whole: the next one waits the longer."""
        self._paid = max(self._paid, self._now()) + size / BYTES_A_SECOND

    def _grant(self) -> None:
        """Let go on who may, and come again for the others."""
        while self._free and self._waiting and (pause := self._paid - self._now()) <= 0:
            self._free -= 1
            self._waiting.popleft()()
        if self._free and self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(pause, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._grant()

    @staticmethod
    def _now() -> float:
        return time.monotonic()

    def forget(self, granted: Callable[[], None]) -> None:
        """Wait no more for a place."""
        self._waiting.remove(granted)

    async def decoded(self, data: bytes, *, exact: bool) -> list[Any]:
        """Return as `parse_json` does, one text at a time, and others work meanwhile."""
        async with self._decoding:
            return await asyncio.to_thread(parse_json, data, exact=exact)


class Ticket:
    """One connection's place, or its wait for one."""

    __slots__ = ("_granted", "_has_place", "_is_asked", "_large", "_late", "_timer")

    def __init__(self, large: Large, granted: Callable[[], None], late: Callable[[], None]) -> None:
        """Get ready.

        Args:
            large: the places.
            granted: called when there is a place that had to be waited for.
            late: called while others wait for the place, time and again after `LATE_SECONDS`.
        """
        self._large = large
        self._granted = granted
        self._late = late
        self._has_place = False
        self._is_asked = False
        self._timer: asyncio.TimerHandle | None = None

    def ask(self) -> bool:
        """Tell whether it has a place; if not, `granted` is called when it has."""
        if not self._is_asked:
            self._is_asked = True
            if self._large.take(self._on_granted):
                self._begin()
        return self._has_place

    def note(self, size: int) -> None:
        """Tell how large the message was."""
        self._large.note(size)

    def give_back(self) -> None:
        """Have no place and wait for none; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._has_place:
            self._large.give()
        elif self._is_asked:
            self._large.forget(self._on_granted)
        self._has_place = self._is_asked = False

    def _on_granted(self) -> None:
        self._begin()
        self._granted()

    def _begin(self) -> None:
        self._has_place = True
        self._timer = asyncio.get_running_loop().call_later(LATE_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LATE_SECONDS, self._look)
        if self._large.is_wanted:
            self._late()
