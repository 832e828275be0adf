"""Waiting: for what another process does, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")
PAUSE_SECONDS = 0.02


def until(condition: Callable[[], T], *, seconds: float = 40.0) -> T:
    """Ask for a condition until it holds, and return its value, which is then true.

    It blocks: a test with an event loop calls it in a thread.

    Args:
        condition: asked again as long as its value is false; what it raises ends the test.
        seconds: after which the test fails.
    """
    __tracebackhide__ = True  # the line that waits says for what
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"it does not hold after {seconds:g} s")
        time.sleep(PAUSE_SECONDS)
    return value
