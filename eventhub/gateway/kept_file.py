"""Kept file: the bytes of one answer, which a client can read piece by piece.

It has no name: it disappears with the process, however that ends.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import BinaryIO, Final

from eventhub.errors import Unavailable

RESERVED_BYTES: Final = 256 << 20
"""Left free on the disk for the log and the tables."""
PART_BYTES: Final = 256 << 10
"""Read at once."""


@dataclass(frozen=True, slots=True)
class State:
    """What a file has seen of the tables that it was made from."""

    position: str
    """As its readers get it."""
    sequences: tuple[int, ...]
    """Of each table, in an order that is the same for all files of a key."""

    def covers(self, sequences: Sequence[int]) -> bool:
        """Return whether it has seen these events of the tables."""
        return all(mine >= other for mine, other in zip(self.sequences, sequences, strict=True))


class KeptFile:
    """The bytes of one answer, complete, with an entity tag that no other answer has."""

    def __init__(self, key: Hashable, client: str, folder: Path) -> None:
        self.key = key
        self.client = client
        """The client whose limits it counts toward: the one that asked first."""
        self.openers = {client}
        """The clients whose newest file of this key it is."""
        self.state: State
        self.headers: dict[str, str] = {}
        """Of every answer with it, next to those of all files."""
        self.tag = ""
        self.made_at = 0.0
        """By the clock of the event loop."""
        self.size = 0
        self.readers = 0
        self.is_kept = True
        self.timer: asyncio.TimerHandle | None = None
        self._folder = folder
        self._file: BinaryIO | None = None
        self._is_closed = False
        self._lock = Lock()

    def adopt(self, file: BinaryIO, size: int) -> None:
        """Take over a complete file, which has no name any more."""
        self._file, self.size = file, size

    def append(self, data: bytes) -> None:
        """Append bytes. Blocking; raises OSError or `Unavailable` if the disk is full."""
        with self._lock:  # a thread may still write when the client has left
            if self._is_closed:
                raise Unavailable("the file was removed")
            if self._file is None:
                self._file = TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115 - until `close`
            disk = os.fstatvfs(self._file.fileno())
            if disk.f_bavail * disk.f_frsize < RESERVED_BYTES + len(data):
                raise Unavailable("the disk has no room for the file")
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            self.size += len(data)

    async def parts(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Iterate over the bytes from an offset up to another.

        Raises:
            Unavailable: the disk fails.
        """
        while start < stop:
            try:
                part = await asyncio.to_thread(self._read, start, min(PART_BYTES, stop - start))
            except OSError as error:
                raise Unavailable(f"the rest of the file cannot be read: {error}") from error
            start += len(part)
            yield part

    def _read(self, start: int, length: int) -> bytes:
        with self._lock:
            if self._file is None or self._is_closed:
                raise OSError("it was removed")
            data = os.pread(self._file.fileno(), length, start)
        if not data:
            raise OSError("it was cut short")
        return data

    def close(self) -> None:
        """Remove the file. Blocking."""
        with self._lock:
            self._is_closed = True
            if self._file is not None:
                self._file.close()
