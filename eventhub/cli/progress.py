"""Progress: a bar for work that reads a whole log."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

DELAY_SECONDS = 1.0
"""Work that is done earlier shows no bar."""


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error if it is a terminal, and once the work takes `DELAY_SECONDS`.

    Yields:
        What moves the bar: called with the sequence that was reached, and the last one.
    """
    with tqdm(
        desc=label, unit=" events", delay=DELAY_SECONDS, file=sys.stderr, leave=False, disable=None
    ) as bar:

        def move(reached: int, last: int) -> None:
            bar.total = last
            bar.update(reached - bar.n)

        yield move
