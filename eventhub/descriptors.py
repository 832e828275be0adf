"""Descriptors: what a hub does when there is no file descriptor left, its own or the system's."""

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from eventhub.logs import limited

NONE_LEFT: Final = (errno.EMFILE, errno.ENFILE)


@contextmanager
def later_if_none_is_left(work: str) -> Iterator[None]:
    """Give up a piece of work that is done again and again, if there is no descriptor for it."""
    try:
        yield
    except OSError as error:
        if error.errno not in NONE_LEFT:
            raise
        limited.warning("no_descriptors", by=work)


def most_descriptors() -> int:
    """Return how many this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> None:
    """Take as many as the system lets us have: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
