"""Expiry: a connection or a request ends when its login does."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from eventhub.errors import Expired

WARNING_SECONDS = 30.0
"""Before the end: time for a client to get another token, and to connect with it."""
MAX_SECONDS = 86400.0
"""Longest timer: a later end is checked again, because the clock may be set in between."""


def wall_clock() -> float:
    """Return the Unix time, in which tokens and cookies state their end."""
    return time.time()  # noqa: TID251 - compared with the time in tokens and cookies


class Expiry:
    """Ends one connection with its login. Its owner cancels it when the connection closes."""

    __slots__ = ("_at", "_end", "_timer", "_warn")

    def __init__(self, at: float, warn: Callable[[], None], end: Callable[[], None]) -> None:
        """Start the timer.

        Args:
            at: Unix time at which the login ends.
            warn: called `WARNING_SECONDS` before it, or at once if less is left.
            end: called at that time.
        """
        self._at = at
        self._warn: Callable[[], None] | None = warn
        self._end = end
        self._timer: asyncio.TimerHandle
        self._wait()

    def cancel(self) -> None:
        """Stop the timer; idempotent."""
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
        Expired: the login has ended.
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
