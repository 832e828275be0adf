"""Garbage: how often Python looks for cycles of objects, of which a hub makes next to none."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

THRESHOLDS: Final = (50_000, 50, 50)
"""New objects before the collector runs, and runs before it examines older ones."""


def collect_rarely() -> None:
    """Make the collector run rarely.

    Events, rows, frames and modules have no cycles. To examine them again and again costs a tenth
    of the time in which a hub starts, and of that of a busy one.
    """
    gc.set_threshold(*THRESHOLDS)


@contextmanager
def without_what_lives() -> Iterator[None]:
    """Let the collector ignore what is loaded so far, which lives as long as the process."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()  # otherwise DuckDB's bindings report all of their objects as leaked
