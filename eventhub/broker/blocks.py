"""Blocks: the files of nats-server's store, and what in them would keep it busy for ever.

A stream's messages are records in files of 8 MiB, `msgs/<n>.blk`: length 4, sequence 8, time 8,
length of the subject 2 (all little endian), subject, payload, checksum 8. The server trusts an
index beside them, and takes checksums only of what is read. When it reads a file it fills each
hole between two sequences, one by one. So one flipped bit in the upper bytes of a sequence has it
count to as much as 2^61 with the stream locked, and 4 bytes of memory for each (nats-server 2.15.1,
`indexCacheBuf`). Without its index it takes all checksums first, and cuts the file off there.

As a program, this prints what `endless_blocks` finds: a walk through a large store takes long, and
would keep the hub's event loop from its interpreter lock.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from struct import Struct

_HEAD = Struct("<IQQH")
_CHECKSUM_BYTES = 8
_HAS_HEADERS = 1 << 31  # in the length
_ERASED, _TOMBSTONE = 1 << 63, 1 << 62  # in the sequence
HOLE = 1 << 24
"""Sequences that a hole in one file may have: the server fills it in a second."""


SEARCH_SECONDS = 600.0
"""For some hundred million messages."""


def endless_blocks(store: Path) -> list[tuple[Path, int]]:
    """Return the files that nats-server would not finish reading, and where it would not.

    Args:
        store: its `store_dir`. A million messages take a second.
    """
    found = []
    for path in store.glob("jetstream/*/streams/*/msgs/*.blk"):
        try:
            at = _absurd_hole(path.read_bytes())  # mapped, a file that is cut off would kill us
        except OSError:  # removed meanwhile
            continue
        if at is not None:
            found.append((path, at))
    return found


async def search(store: Path) -> list[tuple[Path, int]]:
    """Return what `endless_blocks` does, from a process of its own that others go before."""
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
    return [(Path(path), at) for path, at in json.loads(found or "[]")]


def forget_index(store: Path, stream: str) -> None:
    """Have the server read all files of a stream at its next start. It must be killed for that."""
    for messages in store.glob(f"jetstream/*/streams/{stream}/msgs"):
        (messages / "index.db").unlink(missing_ok=True)


def _absurd_hole(content: bytes) -> int | None:
    """Return the offset of the record that opens it; None as well at other damage."""
    at = last = 0
    while at + _HEAD.size <= len(content):
        length, sequence, _, subject = _HEAD.unpack_from(content, at)
        least = _HEAD.size + subject + _CHECKSUM_BYTES
        if length & _HAS_HEADERS:
            length &= ~_HAS_HEADERS
            least += 4
        if not least <= length <= len(content) - at:
            return None  # the server notices
        if not sequence & _TOMBSTONE:
            sequence &= ~_ERASED
            if last and sequence > last + HOLE:
                return at
            last = max(last, sequence)
        at += length
    return None


if __name__ == "__main__":
    os.nice(19)
    json.dump([(str(path), at) for path, at in endless_blocks(Path(sys.argv[1]))], sys.stdout)
