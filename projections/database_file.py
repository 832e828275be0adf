"""Database file: the bytes of the DuckDB file that this process has open, as of a checkpoint.

DuckDB never overwrites a block that the last checkpoint refers to: otherwise a crash would destroy
the file. So as long as the headers, which name that checkpoint, stay the same, the bytes of the
file are those tables, whatever is committed in the meantime.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eventhub.errors import Unavailable
from projections.progress import Progress

_HEADERS: Final = (4096, 12288)
"""Where the two headers are that checkpoints write in turn."""


class DatabaseFile:
    """A file for reading.

    To close any descriptor of a file releases all locks that the process has on it (fcntl(2)), and
    so DuckDB's. So open this after DuckDB has opened the file, and close it after DuckDB has.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Release the file."""
        os.close(self._descriptor)
        self._descriptor = -1  # the number may soon be that of another file

    def checkpoint(self, progress: Mapping[str, Progress]) -> "Checkpoint":
        """Return the last checkpoint.

        Args:
            progress: how far the tables in it are.
        """
        return Checkpoint(self, self.headers(), os.fstat(self._descriptor).st_size, progress)

    def headers(self) -> bytes:
        """Return what every checkpoint changes."""
        start, end = _HEADERS
        return os.pread(self._descriptor, end - start, start)

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes of the file; fewer at its end."""
        return os.pread(self._descriptor, size, offset)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tables of one checkpoint, as bytes."""

    _file: DatabaseFile
    _headers: bytes
    size: int
    """Bytes of the file."""
    progress: Mapping[str, Progress]
    """How far each channel is."""

    def read(self, offset: int, size: int) -> bytes:
        """Return some of the bytes, which count only if `check` succeeds afterwards."""
        return self._file.read(offset, size)

    def check(self) -> None:
        """Check that all that was read is of this checkpoint.

        Raises:
            Unavailable: DuckDB has made another one, as it does if its WAL grows above 1 GB.
        """
        if self._file.headers() != self._headers:
            raise Unavailable("DuckDB has made another checkpoint while its file was read")
