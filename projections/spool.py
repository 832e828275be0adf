"""Spool: chunks of rows that wait in a file for a slow reader; first in, first out.

The file has no name, so it is gone with the process, however that ends. It is written and read
without a buffer: a write that fails leaves nothing behind that a close would try again.
"""

import os
from collections import deque
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import BinaryIO

import msgspec

from eventhub.errors import Unavailable

Chunk = list[tuple[int, str]]
"""Rows: the sequence of the row's last event, and the row as a JSON object."""

RESERVED_BYTES = 256 << 20
"""Of the disk are left to the log and the tables: what waits here must not stop the hub."""

_DECODER = msgspec.msgpack.Decoder(Chunk)


class Spool:
    """One file of chunks. Its methods block: call them in a thread. `close` may come at any time.

    Raises:
        OSError: the disk fails, or is full.
        Unavailable: the spool was closed, or would leave too little of the disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._is_closed = False
        self._lock = Lock()
        self._lengths: deque[int] = deque()
        self._read_bytes = 0
        self.written_bytes = 0

    @property
    def has_unread(self) -> bool:
        """Tell whether there is something to take."""
        return bool(self._lengths)

    def put(self, chunk: Chunk) -> None:
        """Add a chunk at the end."""
        data = msgspec.msgpack.encode(chunk)
        with self._lock:
            file = self._descriptor()
            _check_room(file)
            _write(file, data, self.written_bytes)
            self.written_bytes += len(data)
            self._lengths.append(len(data))

    def take(self) -> Chunk:
        """Remove the oldest chunk; there must be one."""
        with self._lock:
            data = os.pread(self._descriptor(), self._lengths[0], self._read_bytes)
            if len(data) < self._lengths[0]:
                raise OSError("the file of a snapshot was cut short")
            self._read_bytes += self._lengths.popleft()
        return _DECODER.decode(data)

    def close(self) -> None:
        """Give the disk its room back. It may be called again."""
        with self._lock:
            self._is_closed = True
            if self._file is not None:
                self._file.close()
                self._file = None

    def _descriptor(self) -> int:
        if self._is_closed:
            raise Unavailable("the snapshot was closed")
        if self._file is None:
            self._file = TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115 - until `close`
        return self._file.fileno()


def _check_room(file: int) -> None:
    disk = os.fstatvfs(file)
    if disk.f_bavail * disk.f_frsize < RESERVED_BYTES:
        raise Unavailable("the disk has no room for what a slow reader has not read")


def _write(file: int, data: bytes, at: int) -> None:
    """Write all of it: a disk that is almost full takes a part, and fails on the rest."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, at)
        rest, at = rest[written:], at + written
