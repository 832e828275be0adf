"""Background: tasks that live as long as a block, and make it fail if they fail.

A plain TaskGroup wraps an error of the block in an ExceptionGroup. Here the error of the block is
raised unchanged, and tasks that still run at the end of the block are cancelled.

`side_by_side` does the same thing with many items, a bounded number of them at a time, and `within`
one thing until a deadline.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

CANCEL_AGAIN_SECONDS = 0.1
"""Between two cancellations of work that goes on after its deadline."""


class Background:
    """The owner of the tasks of one block."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Start a task; if it fails, the block is cancelled and raises an ExceptionGroup."""
        _ = self._create(work, name)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start one of many tasks and return it, so that the caller may cancel it."""
        return self._create(work, None)

    def _create(self, work: Coroutine[Any, Any, None], name: str | None) -> asyncio.Task[None]:
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Cancel all tasks that still run."""
        for task in tuple(self._tasks):
            task.cancel()


@asynccontextmanager
async def background() -> AsyncIterator[Background]:
    """Own the tasks of a block."""
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        owner = Background(group)
        try:
            yield owner
        except Exception as error:  # noqa: BLE001 - raised again below, outside the group
            failure = error
        finally:
            owner.cancel()
    if failure is not None:
        raise failure


async def side_by_side(
    work: Callable[[Item], Awaitable[Result]], items: Iterable[Item], at_once: int
) -> list[Result]:
    """Return the results of work on each item, in the order of the items.

    The first error is raised unchanged, after the work that is under way was cancelled.

    Args:
        work: called with each item.
        items: what there is to do.
        at_once: on how many items work may be under way.
    """
    results: dict[int, Result] = {}
    waiting = enumerate(items)

    async def take() -> None:
        for place, item in waiting:
            results[place] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(take())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [results[place] for place in sorted(results)]


async def within(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    """Run something that ends by a deadline, even if it misses a cancellation.

    nats-py connects in `asyncio.wait_for`, which on Python 3.11 swallows a cancellation that comes
    as its own work ends: then it would try to connect forever.

    Raises:
        TimeoutError: the deadline has passed.
    """
    task = asyncio.ensure_future(work)  # noqa: TID251 - it has ended when this returns
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=CANCEL_AGAIN_SECONDS)
    if task.cancelled():
        raise TimeoutError
    task.result()
