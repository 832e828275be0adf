"""Spool: bytes that are written once, and read by many readers at different speeds.

The first bytes are kept in memory while all spools together have room there; the rest is in a file
without a name, which disappears with the process, however that ends. The file has no buffer: after
a write that fails, a close has nothing left to write.
"""

import os
import time
from bisect import bisect_right
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import BinaryIO

from eventhub.errors import Unavailable
from eventhub.snapshots import PART_BYTES

RESERVED_BYTES = 256 << 20
"""Left free on the disk for the log and the tables, so that slow readers cannot stop the hub."""


class Memory:
    """The bytes that several spools together may keep in memory."""

    def __init__(self, max_bytes: int) -> None:
        self._free = max_bytes
        self._lock = Lock()

    def take(self, size: int, *, anyway: bool) -> bool:
        """Take bytes if they are free, or `anyway`; tell whether they were taken."""
        with self._lock:
            is_taken = anyway or size <= self._free
            self._free -= size if is_taken else 0
            return is_taken

    def give(self, size: int) -> None:
        """Give bytes back."""
        with self._lock:
            self._free += size


class Spool:
    """Bytes to which one thread appends. `close` may be called at any time."""

    def __init__(self, folder: Path, memory: Memory) -> None:
        self._folder = folder
        self._memory = memory
        self._chunks: list[bytes] = []
        self._starts: list[int] = []
        self._kept_bytes = 0
        """Bytes in `_chunks`; the file starts at this offset."""
        self._file: BinaryIO | None = None
        self._is_closed = False
        self._lock = Lock()
        self.size = 0
        """Bytes so far, all of which can be read."""

    def append(self, data: bytes) -> None:
        """Append bytes. Blocking: call in a thread.

        Raises:
            OSError: the disk fails, or is full.
            Unavailable: the spool was closed, or would leave too little room on the disk.
        """
        with self._lock:
            self._check_open()
            # The first bytes are always kept in memory: for most queries there are no others.
            if self._file is None and self._memory.take(len(data), anyway=self.size == 0):
                self._starts.append(self.size)
                self._chunks.append(data)
                self._kept_bytes += len(data)
            else:
                self._write(data)
            self.size += len(data)

    def kept(self, offset: int) -> bytes | None:
        """Return bytes from an offset on if they are in memory, else None. Never blocks."""
        chunks = self._chunks  # even after a close, this list still has them
        if offset >= self._kept_bytes or self._is_closed:
            return None
        index = bisect_right(self._starts, offset) - 1
        chunk, start = chunks[index], offset - self._starts[index]
        return chunk[start : start + PART_BYTES]  # a slice of all of it is not a copy

    def read(self, offset: int) -> bytes:
        """Return bytes from an offset below `size` on. Blocking; errors as in `append`."""
        with self._lock:
            self._check_open()
            if (kept := self.kept(offset)) is not None:
                return kept
            length = min(PART_BYTES, self.size - offset)
            data = os.pread(self._descriptor(), length, offset - self._kept_bytes)
        if len(data) < length:
            raise OSError("the file of a snapshot was cut short")
        return data

    def close(self) -> None:
        """Free memory and disk. Blocking: call in a thread. A second call does nothing.

        Freeing 64 MB at once would hold the GIL for 8 ms, so it is done bit by bit.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            chunks, self._chunks = self._chunks.copy(), []
            while chunks:
                chunks.pop()
                time.sleep(0)  # lets threads that wait for the GIL run
            self._memory.give(self._kept_bytes)
            if self._file is not None:
                self._file.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise Unavailable("the snapshot was closed")

    def _descriptor(self) -> int:
        if self._file is None:
            self._file = TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115 - until `close`
        return self._file.fileno()

    def _write(self, data: bytes) -> None:
        """Write all bytes: a disk that is almost full accepts a part, and fails on the rest."""
        file, at = self._descriptor(), self.size - self._kept_bytes
        _check_room(file)
        rest = memoryview(data)
        while rest:
            written = os.pwrite(file, rest, at)
            rest, at = rest[written:], at + written


def _check_room(file: int) -> None:
    disk = os.fstatvfs(file)
    if disk.f_bavail * disk.f_frsize < RESERVED_BYTES:
        raise Unavailable("the disk has no room for the rows that slow readers have not read")
