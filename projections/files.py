"""Files: what an export writes: each is there whole, on disk, under its name, or is not there.

It is written next to its place under a name that begins with a dot, synced, and then renamed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from eventhub.errors import Unavailable

PARTIAL = ".partial"
"""The end of the name of a file that is being written, or whose writer was killed."""


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Lend a path to write to; it becomes `path` if the block succeeds, and is removed otherwise.

    Raises:
        Unavailable: it cannot be written, as on a full disk; what was at `path` is still there.
    """
    partial = partial_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """Return what a file is called until it is whole."""
    return path.with_name(f".{path.name}{PARTIAL}")


def remove_partial(folder: Path) -> None:
    """Remove what a killed writer left below a folder."""
    for path in folder.rglob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
