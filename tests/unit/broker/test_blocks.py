"""A file that nats-server would read forever is found; whole or otherwise damaged ones are not."""

import struct
from pathlib import Path

import pytest

from eventhub.broker.blocks import WIDE, Hole, endless_holes, forget_index, search

HEADERS, ERASED, TOMBSTONE = 1 << 31, 1 << 63, 1 << 62


def record(sequence: int, *, payload: bytes = b"x" * 40, flags: int = 0) -> bytes:
    subject = b"eh.rows.r"
    length = 22 + len(subject) + len(payload) + 8
    head = struct.pack("<IQQH", length | flags, sequence, 1, len(subject))
    return head + subject + payload + bytes(8)


ONE = record(7)
CASES = {
    "empty": (b"", None),
    "whole": (ONE + record(8) + record(9), None),
    "hole": (ONE + record(7 + WIDE), None),
    "absurd": (ONE + record(8) + record(9 | 1 << 40) + record(10), 2 * len(ONE)),
    "absurd-erased": (ONE + record(9 | 1 << 40 | ERASED), len(ONE)),
    "absurd-tombstone": (ONE + record(9 | 1 << 40 | TOMBSTONE) + record(8), None),
    "absurd-with-headers": (ONE + record(9 | 1 << 40, flags=HEADERS), len(ONE)),
    "absurd-first": (record(7 | 1 << 40) + record(8), None),
    "backwards": (ONE + record(1) + record(8), None),
    "cut-off": (ONE + record(9 | 1 << 40)[:-1], None),
    "cut-off-in-head": (ONE + record(9 | 1 << 40)[:21], None),
    "length-of-nothing": (ONE + bytes(100), None),
}


@pytest.mark.parametrize(("content", "at"), CASES.values(), ids=CASES.keys())
async def test_only_an_absurd_hole_is_found(tmp_path: Path, content: bytes, at: int | None) -> None:
    messages = tmp_path / "jetstream/$G/streams/EH_rows/msgs"
    messages.mkdir(parents=True)
    block, index = messages / "1.blk", messages / "index.db"
    block.write_bytes(content)
    found = endless_holes(tmp_path)
    assert [(hole.file, hole.at, hole.stream) for hole in found] == (
        [] if at is None else [(str(block), at, "EH_rows")]
    )
    assert await search(tmp_path) == found
    index.touch()
    forget_index(tmp_path, "EH_rows")
    forget_index(tmp_path, "EH_rows")
    assert not index.exists()
    assert block.read_bytes() == content


@pytest.mark.parametrize(("flipped", "is_mended"), [(1 << 40, True), (3 << 40, False)])
def test_one_flipped_bit_of_a_sequence_is_corrected(
    tmp_path: Path, flipped: int, is_mended: bool
) -> None:
    path = tmp_path / "1.blk"
    damaged = ONE + record(8 ^ flipped) + record(9)
    path.write_bytes(damaged)
    hole = Hole(str(path), len(ONE), found=8 ^ flipped, expected=8)
    assert hole.mend() is is_mended
    assert path.read_bytes() == (ONE + record(8) + record(9) if is_mended else damaged)
    path.write_bytes(ONE)  # it was cut off meanwhile
    assert not hole.mend()
    assert path.read_bytes() == ONE
    path.unlink()
    assert not hole.mend()
