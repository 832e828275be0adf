"""Slices: long work that shares the event loop. All of it together gets one slice of each turn.

A coroutine that never waits holds the loop until it is done. Several that only yield for a turn
still hold it together, one slice each. Here they take turns.
"""

import asyncio
import time
from collections import deque
from typing import Final

SLICE_SECONDS: Final = 0.001


class Slices:
    """The coroutines that do long work of one kind."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_called = False

    async def next(self, ends: float) -> float:
        """Return the end of the caller's slice; after `ends`, first wait for the caller's turn.

        Call it between two small pieces of work.

        Args:
            ends: the end of the slice, as returned before; 0.0 before the first piece.
        """
        if time.perf_counter() < ends:
            return ends
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._call()
        await turn
        return time.perf_counter() + SLICE_SECONDS

    def _call(self) -> None:
        if not self._is_called:
            self._is_called = True
            asyncio.get_running_loop().call_soon(self._wake)

    def _wake(self) -> None:
        """Give a slice to one coroutine, in this turn of the loop."""
        self._is_called = False
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # otherwise the coroutine was cancelled
                turn.set_result(None)
                break
        if self._waiting:
            self._call()
