"""One thread: work that holds the interpreter for long, one piece after another.

Several threads with such work would keep the event loop from the interpreter most of the time.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class OneThread:
    """A thread that does pieces of work in the order in which they come."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1)

    async def do(self, work: Callable[[], T]) -> T:
        """Return what a piece of work returns, once it was its turn.

        A piece that has begun is done to its end, even if nobody waits for it any more, and the
        next one begins after that: clients that leave and come back get no second thread.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
