"""Shares: how many parts of large answers are sent in one turn of the event loop.

A socket on a fast line accepts megabytes at once, and while the loop copies them it serves no
other client. Ten clients that read a table of 4 MB over and over made others wait four times as
long; with one part a turn, it is less than twice (docs/performance.md).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

SECONDS_A_PART = 0.001
"""A loop that is busy with other work sends a part for each millisecond of that work, so that large
readers have a share too. A part takes about 0.15 ms."""


class Shares:
    """The readers of one loop that wait to take their next part, first come, first served."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_called = False
        self._turned_at = 0.0

    async def wait(self) -> None:
        """Wait for a share; if no other reader waits, this takes one turn of the loop."""
        loop = asyncio.get_running_loop()
        share: asyncio.Future[None] = loop.create_future()
        self._waiting.append(share)
        if not self._is_called:
            self._is_called, self._turned_at = True, self._clock()
            loop.call_soon(self._turn)
        await share

    def _turn(self) -> None:
        now = self._clock()
        shares = 1 + int((now - self._turned_at) / SECONDS_A_PART)
        self._turned_at = now
        while shares and self._waiting:
            share = self._waiting.popleft()
            if not share.done():  # its reader has not left
                share.set_result(None)
                shares -= 1
        self._is_called = bool(self._waiting)
        if self._is_called:
            asyncio.get_running_loop().call_soon(self._turn)
