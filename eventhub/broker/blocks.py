"""Blocks: the files of nats-server's store, and damage in them that would keep it busy forever.

A stream's messages are records in files of 8 MiB, `msgs/<n>.blk`: length 4, sequence 8, time 8,
length of the subject 2 (all little endian), subject, payload, checksum 8. The server trusts an
index next to them, and verifies the checksums only of what it reads. When it reads a file, it fills
each hole between two sequences, one by one. So after one flipped bit in the upper bytes of a
sequence it counts as far as 2^61, with the stream locked and 4 bytes of memory for each number
(nats-server 2.15.1, `indexCacheBuf`). Without the index it verifies all checksums first, and cuts
the file off at the damage.

A sequence that differs in one bit from the expected one is corrected. In any other case the
stream's index is deleted.

As a program, this module prints what `endless_holes` finds: a walk through a large store takes
long, and would keep the hub's event loop from its interpreter lock.
"""

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import NamedTuple

_HEAD = Struct("<IQQH")
_SEQUENCE_AT, _CHECKSUM_BYTES = 4, 8
_HAS_HEADERS = 1 << 31  # in the length
_ERASED, _TOMBSTONE = 1 << 63, 1 << 62  # in the sequence
WIDE = 1 << 24
"""Sequences that a hole in one file may have; the server fills it in a second."""
SEARCH_SECONDS = 600.0
"""How long a search may take; it is enough for some hundred million messages."""


class Hole(NamedTuple):
    """A hole in a file that nats-server would never finish filling."""

    file: str
    at: int
    """Offset of the record after the hole."""
    found: int
    """Sequence in that record."""
    expected: int

    @property
    def stream(self) -> str:
        """Name of the stream."""
        return Path(self.file).parent.parent.name

    def mend(self) -> bool:
        """Correct the sequence if one bit of it differs; return whether that was done.

        Whether it is right now, the server verifies with the checksum when it reads the record.
        """
        if (self.found ^ self.expected).bit_count() != 1:
            return False
        at = self.at + _SEQUENCE_AT
        with suppress(OSError), Path(self.file).open("r+b") as file:
            if os.pread(file.fileno(), 8, at) == self.found.to_bytes(8, "little"):
                os.pwrite(file.fileno(), self.expected.to_bytes(8, "little"), at)
                os.fsync(file.fileno())
                return True
        return False  # the file was cut off or removed meanwhile


def endless_holes(store: Path) -> list[Hole]:
    """Return the holes that nats-server would never finish filling: the first one of each file.

    Args:
        store: the server's `store_dir`. A million messages take a second.
    """
    found = []
    for path in store.glob("jetstream/*/streams/*/msgs/*.blk"):
        try:
            content = path.read_bytes()  # a mapped file that is cut off would kill this process
        except OSError:  # the file was removed meanwhile
            continue
        hole = _endless_hole(str(path), content)
        if hole is not None:
            found.append(hole)
    return found


async def search(store: Path) -> list[Hole]:
    """Return what `endless_holes` returns, from a process of its own with low priority."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", __file__, str(store)), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(SEARCH_SECONDS):
            found, _ = await process.communicate()
    except TimeoutError:
        return []
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return [Hole(*each) for each in json.loads(found or "[]")]


def forget_index(store: Path, stream: str) -> None:
    """Make the server read all files of a stream at its next start, after it was killed."""
    for messages in store.glob(f"jetstream/*/streams/{stream}/msgs"):
        (messages / "index.db").unlink(missing_ok=True)


def _endless_hole(path: str, content: bytes) -> Hole | None:
    """Return the first hole; None if there is none, or the file has other damage."""
    at = last = 0
    while at + _HEAD.size <= len(content):
        length, stored, _, subject = _HEAD.unpack_from(content, at)
        least = _HEAD.size + subject + _CHECKSUM_BYTES
        if length & _HAS_HEADERS:
            length &= ~_HAS_HEADERS
            least += 4
        if not least <= length <= len(content) - at:
            return None  # the server notices this damage
        if not stored & _TOMBSTONE:
            sequence = stored & ~_ERASED
            if last and sequence > last + WIDE:
                return Hole(path, at, stored, last + 1)
            last = max(last, sequence)
        at += length
    return None


if __name__ == "__main__":
    os.nice(19)
    json.dump(endless_holes(Path(sys.argv[1])), sys.stdout)
