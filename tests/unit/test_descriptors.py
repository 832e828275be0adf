"""Periodic work survives a lack of descriptors, and no other error."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from eventhub.descriptors import later_if_none_is_left


@contextmanager
def none_left() -> Iterator[None]:
    """Take every descriptor that this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 20, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_periodic_work_survives_a_lack_of_descriptors(tmp_path: Path) -> None:
    done = []
    with capture_logs() as logs:
        with none_left(), later_if_none_is_left("a watch"):
            done.append(list(tmp_path.iterdir()))
        with later_if_none_is_left("a watch"):
            done.append(list(tmp_path.iterdir()))
    assert done == [[]]
    assert [(each["event"], each["by"]) for each in logs] == [("no_descriptors", "a watch")]


def test_other_errors_are_raised(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, later_if_none_is_left("a watch"):
        (tmp_path / "gone").read_bytes()
    assert caught.value.errno == errno.ENOENT
