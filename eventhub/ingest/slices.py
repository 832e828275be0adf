"""Slices: long work that lets others go on. One who does much at a time has a slice of each turn.

A coroutine that never waits holds the loop until it is done; several that only step aside for a
turn each hold it together. Here they take turns.
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
        """Go on if there is time until `ends`, else when it is one's turn; return the new end.

        To be called between two small pieces of work; 0.0 is an end that has passed.
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
        """Let one go on, in this turn of the loop."""
        self._is_called = False
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else whoever waited was cancelled
                turn.set_result(None)
                break
        if self._waiting:
            self._call()
