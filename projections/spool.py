"""Spool: bytes that are written once and read by many, each at its own pace; then they are gone.

The first of them are kept in memory, as long as all spools together have room there; the rest is
in a file without a name, which is gone with the process, however that ends. It is written and read
without a buffer: a write that fails leaves nothing behind that a close would try again.
"""

import os
import time
from bisect import bisect_right
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import BinaryIO

from eventhub.errors import Unavailable

PART_BYTES = 256 << 10
"""What is read at once, at most: what one reader costs in memory beside its socket."""
RESERVED_BYTES = 256 << 20
"""Of the disk are left to the log and the tables: what waits here must not stop the hub."""


class Memory:
    """What a number of spools may hold in memory together, in bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._free = max_bytes
        self._lock = Lock()

    def take(self, size: int, *, anyway: bool) -> bool:
        """Take some if it is there, or anyway; tell whether it was taken."""
        with self._lock:
            is_taken = anyway or size <= self._free
            self._free -= size if is_taken else 0
            return is_taken

    def give(self, size: int) -> None:
        """Give some back."""
        with self._lock:
            self._free += size


class Spool:
    """Bytes of which one thread writes more at the end. `close` may come at any time."""

    def __init__(self, folder: Path, memory: Memory) -> None:
        self._folder = folder
        self._memory = memory
        self._chunks: list[bytes] = []
        self._starts: list[int] = []
        self._kept_bytes = 0
        """In `_chunks`; what comes after is in the file, whose first byte it is the offset of."""
        self._file: BinaryIO | None = None
        self._is_closed = False
        self._lock = Lock()
        self.size = 0
        """Bytes so far. All of them can be read."""

    def append(self, data: bytes) -> None:
        """Add bytes at the end. It blocks: call it in a thread.

        Raises:
            OSError: the disk fails, or is full.
            Unavailable: the spool was closed, or would leave too little of the disk.
        """
        with self._lock:
            self._check_open()
            # The first bytes are kept at any rate: for most queries they are all.
            if self._file is None and self._memory.take(len(data), anyway=self.size == 0):
                self._starts.append(self.size)
                self._chunks.append(data)
                self._kept_bytes += len(data)
            else:
                self._write(data)
            self.size += len(data)

    def kept(self, offset: int) -> bytes | None:
        """Return some of the bytes from an offset on, if they are in memory: never blocks."""
        chunks = self._chunks  # if it is closed meanwhile, this list still has them
        if offset >= self._kept_bytes or self._is_closed:
            return None
        index = bisect_right(self._starts, offset) - 1
        chunk, start = chunks[index], offset - self._starts[index]
        return chunk[start : start + PART_BYTES]  # all of it is no copy

    def read(self, offset: int) -> bytes:
        """Return some of the bytes from an offset below `size` on. Blocks; errors as `append`."""
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
        """Give memory and disk their room back. It blocks: call it in a thread; again, if need be.

        To free 64 MB at once takes 8 ms, and the GIL: so it is done bit by bit.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            chunks, self._chunks = self._chunks.copy(), []
            while chunks:
                chunks.pop()
                time.sleep(0)  # whoever waits for the GIL gets it
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
        """Write all of it: a disk that is almost full takes a part, and fails on the rest."""
        file, at = self._descriptor(), self.size - self._kept_bytes
        _check_room(file)
        rest = memoryview(data)
        while rest:
            written = os.pwrite(file, rest, at)
            rest, at = rest[written:], at + written


def _check_room(file: int) -> None:
    disk = os.fstatvfs(file)
    if disk.f_bavail * disk.f_frsize < RESERVED_BYTES:
        raise Unavailable("the disk has no room for what slow readers have not read")
