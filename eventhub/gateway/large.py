"""Large: how many large messages are handled at once, so that small ones never wait for them.

A message of a megabyte is held several times on its way: as it came, as text, as an event, in the
connection to the broker and in its answer to the followers. So only some are read at once; a client
that sends one more is not read from until one of them has been stored or refused.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from eventhub.gateway.one_thread import OneThread
from eventhub.ingest.decoding import parse_json

LARGE_BYTES: Final = 64 << 10
"""From this size on, a message is large."""
IN_PROGRESS_BYTES: Final = 64 << 20
"""Of large messages in progress at once, each counted as the largest that may be sent."""

BYTES_A_SECOND: Final = 16 << 20
"""Of large messages, of all clients: a megabyte takes the loop 10 to 20 ms on its whole way."""
BEHIND_BYTES_A_SECOND: Final = 2 << 20
"""The same while the tables are behind: then readers would wait for what large messages bring."""
LATE_SECONDS: Final = 30.0
"""How long a large message may take to arrive while others wait for its permit."""


class LargeMessages:
    """The permits to read large messages.

    Args:
        max_bytes: size of the largest message that is read at all.
        is_behind: tells whether some tables are behind.
    """

    def __init__(self, max_bytes: int, is_behind: Callable[[], bool] = lambda: False) -> None:
        self._is_behind = is_behind
        self._free = max(1, IN_PROGRESS_BYTES // max_bytes)
        self._waiting: deque[Callable[[], None]] = deque()
        self._next_at = 0.0
        """When the next message may begin."""
        self._timer: asyncio.TimerHandle | None = None
        self._decoding = OneThread()

    @property
    def has_waiting(self) -> bool:
        """A connection waits for a permit."""
        return bool(self._waiting)

    def take(self, on_granted: Callable[[], None]) -> bool:
        """Take a permit if one is free; otherwise `on_granted` is called once it has been taken."""
        if self._free and not self._waiting and self._now() >= self._next_at:
            self._free -= 1
            return True
        self._waiting.append(on_granted)
        self._grant()
        return False

    def give_back(self) -> None:
        """Give a permit to whichever connection has waited longest."""
        self._free += 1
        self._grant()

    def note(self, size: int) -> None:
        """Count the bytes of a complete message: the next one begins the later."""
        pace = BEHIND_BYTES_A_SECOND if self._is_behind() else BYTES_A_SECOND
        self._next_at = max(self._next_at, self._now()) + size / pace

    def forget(self, on_granted: Callable[[], None]) -> None:
        """Wait no more for a permit."""
        self._waiting.remove(on_granted)

    def _grant(self) -> None:
        """Grant what can be granted now, and set a timer for the rest."""
        while self._free and self._waiting and (pause := self._next_at - self._now()) <= 0:
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

    async def decode(self, data: bytes, *, exact: bool) -> list[Any]:
        """Return what `parse_json` does, in a thread, one text at a time."""
        return await self._decoding.do(partial(parse_json, data, exact=exact))


class Permit:
    """One connection's permit to read a large message, or its wait for one.

    Args:
        large: all permits.
        on_granted: called when there is a permit that had to be waited for.
        on_late: called every `LATE_SECONDS` while others wait for the permit.
    """

    __slots__ = ("_is_held", "_is_requested", "_large", "_on_granted", "_on_late", "_timer")

    def __init__(
        self, large: LargeMessages, on_granted: Callable[[], None], on_late: Callable[[], None]
    ) -> None:
        self._large = large
        self._on_granted = on_granted
        self._on_late = on_late
        self._is_held = False
        self._is_requested = False
        self._timer: asyncio.TimerHandle | None = None

    def request(self) -> bool:
        """Return whether the permit is held; if not, `on_granted` is called when it is."""
        if not self._is_requested:
            self._is_requested = True
            if self._large.take(self._grant):
                self._hold()
        return self._is_held

    def note(self, size: int) -> None:
        """Report the size of the message, which is complete."""
        self._large.note(size)

    def give_back(self) -> None:
        """Hold no permit and wait for none; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_held:
            self._large.give_back()
        elif self._is_requested:
            self._large.forget(self._grant)
        self._is_held = self._is_requested = False

    def _grant(self) -> None:
        self._hold()
        self._on_granted()

    def _hold(self) -> None:
        self._is_held = True
        self._timer = asyncio.get_running_loop().call_later(LATE_SECONDS, self._check)

    def _check(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LATE_SECONDS, self._check)
        if self._large.has_waiting:
            self._on_late()
