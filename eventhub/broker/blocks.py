"""Blocks: the files of nats-server's store, and what in them would keep it busy for ever.

A stream's messages are records in files of 8 MiB, `msgs/<n>.blk`: length 4, sequence 8, time 8,
length of the subject 2 (all little endian), subject, payload, checksum 8. The server trusts an
index beside them, and takes checksums only of what is read. When it reads a file it fills each
hole between two sequences, one by one. So one flipped bit in the upper bytes of a sequence has it
count to as much as 2^61 with the stream locked, and 4 bytes of memory for each (nats-server 2.15.1,
`indexCacheBuf`). Without its index it takes all checksums first, and cuts the file off there.

A sequence of which one bit differs from what it should be is put right; else the stream's index has
to go.

As a program, this prints what `endless_holes` finds: a walk through a large store takes long, and
would keep the hub's event loop from its interpreter lock.
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
"""Sequences that a hole in one file may have: the server fills it in a second."""
SEARCH_SECONDS = 600.0
"""For some hundred million messages."""


class Hole(NamedTuple):
    """A hole in a file that nats-server would not finish filling."""

    file: str
    at: int
    """Offset of the record behind it."""
    found: int
    """Sequence there."""
    expected: int

    @property
    def stream(self) -> str:
        """Name of the stream."""
        return Path(self.file).parent.parent.name

    def mend(self) -> bool:
        """Put the sequence right if one bit of it differs; tell whether that was done.

        Whether it is right now, the server sees from the checksum when it reads the record.
        """
        if (self.found ^ self.expected).bit_count() != 1:
            return False
        at = self.at + _SEQUENCE_AT
        with suppress(OSError), Path(self.file).open("r+b") as file:
            if os.pread(file.fileno(), 8, at) == self.found.to_bytes(8, "little"):
                os.pwrite(file.fileno(), self.expected.to_bytes(8, "little"), at)
                os.fsync(file.fileno())
                return True
        return False  # it was cut off or removed meanwhile


def endless_holes(store: Path) -> list[Hole]:
    """Return the holes that nats-server would not finish filling, one of a file.

    Args:
        store: its `store_dir`. A million messages take a second.
    """
    found = []
    for path in store.glob("jetstream/*/streams/*/msgs/*.blk"):
        try:
            content = path.read_bytes()  # mapped, a file that is cut off would kill us
        except OSError:  # removed meanwhile
            continue
        hole = _endless_hole(str(path), content)
        if hole is not None:
            found.append(hole)
    return found


async def search(store: Path) -> list[Hole]:
    """Return what `endless_holes` does, from a process of its own that others go before."""
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
    """Have the server read all files of a stream at its next start. It must be killed for that."""
    for messages in store.glob(f"jetstream/*/streams/{stream}/msgs"):
        (messages / "index.db").unlink(missing_ok=True)


def _endless_hole(path: str, content: bytes) -> Hole | None:
    """Return the first one; None as well at other damage."""
    at = last = 0
    while at + _HEAD.size <= len(content):
        length, stored, _, subject = _HEAD.unpack_from(content, at)
        least = _HEAD.size + subject + _CHECKSUM_BYTES
        if length & _HAS_HEADERS:
            length &= ~_HAS_HEADERS
            least += 4
        if not least <= length <= len(content) - at:
            return None  # the server notices
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
