"""Expiry: nothing outlives the login that it was opened with."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from eventhub.errors import Expired

WARNING_SECONDS = 30.0
"""Before the end: time to get another token, and to connect with it."""
MAX_SECONDS = 86400.0
"""Of one timer: what is further away is looked at again, for the clock may be set meanwhile."""


def wall_clock() -> float:
    """Return the Unix time, which is what tokens and cookies speak of."""
    return time.time()  # noqa: TID251 - the time of others


class Expiry:
    """Ends one connection with its login. Whoever owns it cancels it with the connection."""

    __slots__ = ("_at", "_end", "_timer", "_warn")

    def __init__(self, at: float, warn: Callable[[], None], end: Callable[[], None]) -> None:
        """Begin to watch.

        Args:
            at: Unix time of the end.
            warn: called `WARNING_SECONDS` before it, or at once.
            end: called then.
        """
        self._at = at
        self._warn: Callable[[], None] | None = warn
        self._end = end
        self._timer: asyncio.TimerHandle
        self._wait()

    def cancel(self) -> None:
        """Watch no more; idempotent."""
        self._timer.cancel()

    def _wait(self) -> None:
        left = self._at - wall_clock()
        if self._warn is not None:
            left -= WARNING_SECONDS
        seconds = min(max(left, 0.0), MAX_SECONDS)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        left = self._at - wall_clock()
        if left <= 0:
            self._end()
            return
        if left <= WARNING_SECONDS and self._warn is not None:
            warn, self._warn = self._warn, None
            warn()
        self._wait()


@asynccontextmanager
async def while_valid(at: float | None) -> AsyncIterator[None]:
    """Cancel the block when a login ends.

    Raises:
        Expired: it has ended.
    """
    if at is None:
        yield
        return
    scope = asyncio.timeout(max(0.0, at - wall_clock()))
    try:
        async with scope:
            yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise Expired from None
