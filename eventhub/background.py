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
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Start a task; if it fails, the block is cancelled and raises an ExceptionGroup."""
        self._tasks.append(self._group.create_task(work, name=name))

    def cancel(self) -> None:
        """Cancel what still runs."""
        for task in self._tasks:
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
