"""Background: tasks that live as long as a block, and fail it when they fail.

A bare TaskGroup wraps whatever the block raises in an ExceptionGroup; here the block's own error
comes out unchanged, and tasks that still run at its end are cancelled.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


class Background:
    """The owner of the tasks of one block."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Start a task; if it fails, the block is cancelled and raises an ExceptionGroup."""
        _ = self._create(work, name)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start one of many tasks, and return it: its caller may cancel it."""
        return self._create(work, None)

    def _create(self, work: Coroutine[Any, Any, None], name: str | None) -> asyncio.Task[None]:
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Cancel what still runs."""
        for task in tuple(self._tasks):
            task.cancel()


@asynccontextmanager
async def background() -> AsyncIterator[Background]:
    """Own tasks for the length of a block."""
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
