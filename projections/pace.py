"""Pace: how fast a reader takes what it is given, and its end when it is too slow for others."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eventhub.errors import Unavailable
from eventhub.metrics import SLOW_READERS

MIN_RATE = 100 << 10
"""Bytes a second that a reader takes, in the mean, or is slow."""
PATIENCE_SECONDS = 10.0
"""The time over which the mean is."""


class Pace:
    """How fast one reader takes what it is given.

    It has some seconds of credit. They run while something lies before it, and what it takes gives
    them back; who has none left is slow. While it waits for the hub nothing runs.
    """

    def __init__(self) -> None:
        self._credit = PATIENCE_SECONDS
        self._given_at: float | None = None
        self._size = 0
        self._scope = asyncio.timeout(None)

    @asynccontextmanager
    async def cuttable(self) -> AsyncIterator[None]:
        """Run a block that `cut` ends.

        Raises:
            Unavailable: `slow_reader`: it was cut.
        """
        try:
            async with self._scope:
                yield
        except TimeoutError:
            if not self._scope.expired():
                raise
            raise Unavailable(
                f"others wait for room, and you took less than {MIN_RATE >> 10} KiB a second of"
                " these rows: connect again, with _since and your last position if you have one,"
                " or ask for fewer rows",
                code="slow_reader",
            ) from None

    def give(self, size: int) -> None:
        """Note that bytes lie before it, or that it takes the last of them."""
        self._given_at, self._size = time.monotonic(), size

    def take(self) -> None:
        """Note that it has taken them, and waits for more."""
        earned = self._size / MIN_RATE
        self._credit = min(max(self._left(), 0.0) + earned, PATIENCE_SECONDS)
        self._given_at = None

    @property
    def is_slow(self) -> bool:
        """Tell whether it has no credit left."""
        return self._left() <= 0

    def cut(self) -> None:
        """End it."""
        if self._scope.when() is None:
            SLOW_READERS.inc()
            self._scope.reschedule(asyncio.get_running_loop().time())

    def _left(self) -> float:
        if self._given_at is None:
            return self._credit
        return self._credit - (time.monotonic() - self._given_at)
