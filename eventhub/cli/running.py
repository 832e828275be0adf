"""Running: a command's coroutine on a fast event loop, with one plain error if it fails."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from eventhub.errors import EventHubError

SWITCH_SECONDS = 1e-4
"""Python's own 5 ms are what the event loop would wait for the interpreter, several times for each
answer, while threads read tables."""

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result.

    Raises:
        EventHubError: the first that the work raised, also out of a task group.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(work)
    except BaseExceptionGroup as group:
        first = _first_of_ours(group)
        if first is None:
            raise
        raise first from group


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # it does not exist for this platform
        return None
    return uvloop.new_event_loop


def _first_of_ours(group: BaseExceptionGroup[BaseException]) -> EventHubError | None:
    for error in group.exceptions:
        found = _first_of_ours(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, EventHubError):
            return found
    return None
