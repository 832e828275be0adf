"""Cores: how many of them this process may use, on systems that do not tell, too."""

import os
from functools import cache

import structlog

logger = structlog.get_logger(__name__)


@cache
def half_of_cores() -> int:
    """Return half of the cores that this process may use, at least one.

    DuckDB gets as many, and so does the broker: the rest is for the event loop.
    """
    return max(1, _usable_cores() // 2)


def _usable_cores() -> int:
    """Return the cores of the process, or those of the machine if the system has no affinity."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError) as error:
        found = os.cpu_count() or 1
        logger.debug("system_without_affinity", error=str(error), cores=found)
        return found
