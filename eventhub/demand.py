"""Demand: whether something has users now, so that the work for them rests while it has none.

Several works may share one demand: they begin with the first user, and rest some time after the
last one has left (ADR-96).
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, Final

REST_SECONDS: Final = 60.0
"""A gateway follows a table so long after the last client that reads it."""


class Demand:
    """The users of something."""

    def __init__(self, rest_seconds: float | None = None) -> None:
        """Begin without users.

        Args:
            rest_seconds: the work rests so long after the last user has left; None: it never does,
                and needs no user.
        """
        self._rest_seconds = rest_seconds
        self._users = 0
        self._left_at = -inf
        self._is_used = asyncio.Event()
        self._is_unused = asyncio.Event()

    @property
    def may_end(self) -> bool:
        """Whether the work ever rests."""
        return self._rest_seconds is not None

    @contextmanager
    def hold(self, *, lingers: bool = True) -> Iterator[None]:
        """Be a user for the length of a block; the work begins soon, if it rests.

        Args:
            lingers: whether the work goes on for a while after the block.
        """
        self._users += 1
        self._is_unused.clear()
        self._is_used.set()
        try:
            yield
        finally:
            self._users -= 1
            if lingers:
                self._left_at = time.monotonic()
            if not self._users:
                self._is_used.clear()
                self._is_unused.set()

    async def serve(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Work while there is demand, until cancelled; if the work fails, so does this.

        Args:
            work: is cancelled when the demand is over, and called again with the next user.
        """
        if self._rest_seconds is None:
            await work()
            return
        while True:
            await self._is_used.wait()
            async with asyncio.TaskGroup() as group:
                task = group.create_task(work())
                await self._until_over(self._rest_seconds)
                task.cancel()

    async def _until_over(self, rest_seconds: float) -> None:
        while True:
            await self._is_unused.wait()
            if self._users:  # one has come since the last one left, before this was woken
                continue
            left = self._left_at + rest_seconds - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(left)
