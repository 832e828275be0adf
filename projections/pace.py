"""Pace: how fast a reader takes its rows, and how it is cut off if others wait for it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eventhub.errors import Unavailable
from eventhub.metrics import SLOW_READERS

MIN_RATE = 100 << 10
"""Bytes a second: a reader that takes fewer on average is slow."""
PATIENCE_SECONDS = 10.0
"""The average is taken over this time."""


class Pace:
    """How fast one reader takes its rows.

    A reader has `PATIENCE_SECONDS` of credit. The credit runs down while rows are ready for it, and
    each byte that it takes earns some back. A reader without credit is slow. The credit does not
    change while the reader waits for the hub.
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
            Unavailable: `slow_reader`: the reader was cut off.
        """
        try:
            async with self._scope:
                yield
        except TimeoutError:
            if not self._scope.expired():
                raise
            raise Unavailable(
                f"you took less than {MIN_RATE >> 10} KiB a second of these rows while others"
                " waited for room: connect again, with _since and your last position if you have"
                " one, or ask for fewer rows",
                code="slow_reader",
            ) from None

    def give(self, size: int) -> None:
        """Note that bytes are ready for the reader; 0: it is taking the rest of the last ones."""
        self._given_at, self._size = time.monotonic(), size

    def take(self) -> None:
        """Note that the reader has taken the bytes, and waits for more."""
        earned = self._size / MIN_RATE
        self._credit = min(max(self._left(), 0.0) + earned, PATIENCE_SECONDS)
        self._given_at = None

    @property
    def is_slow(self) -> bool:
        """Tell whether the reader has no credit left."""
        return self._left() <= 0

    def cut(self) -> None:
        """Cut the reader off: its `cuttable` block ends."""
        if self._scope.when() is None:
            SLOW_READERS.inc()
            self._scope.reschedule(asyncio.get_running_loop().time())

    def _left(self) -> float:
        if self._given_at is None:
            return self._credit
        return self._credit - (time.monotonic() - self._given_at)
