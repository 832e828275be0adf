"""Descriptors: the limit of this process, and work that waits when no file descriptor is left."""

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from eventhub.logs import limited

NONE_LEFT: Final = (errno.EMFILE, errno.ENFILE)


@contextmanager
def later_if_none_is_left(work: str) -> Iterator[None]:
    """Skip one round of periodic work, and log it, if no descriptor is left for it."""
    try:
        yield
    except OSError as error:
        if error.errno not in NONE_LEFT:
            raise
        limited.warning("no_descriptors", by=work)


def most_descriptors() -> int:
    """Return how many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> None:
    """Raise the limit as far as the system allows, because each connection needs a descriptor."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
