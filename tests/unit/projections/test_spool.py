"""A spool gives every reader the bytes that were appended, and leaves nothing behind."""

import os
import tracemalloc
from bisect import bisect_right
from contextlib import closing
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventhub.errors import Unavailable
from projections import spool as module
from projections.spool import Memory, Spool

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def in_file(folder: Path) -> Spool:
    """A spool with two bytes in memory and one in its file."""
    spool = Spool(folder, Memory(0))
    spool.append(b"ab")
    spool.append(b"c")
    return spool


@settings(deadline=None)
@given(sizes=SIZES, memory=st.integers(0, 300), part=st.integers(1, 50), data=st.data())
def test_the_bytes_from_any_offset_are_those_that_were_appended(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    memory: int,
    part: int,
    data: st.DataObject,
) -> None:
    expected = b"".join(bytes([index]) * size for index, size in enumerate(sizes))
    with (
        pytest.MonkeyPatch.context() as patch,
        closing(Spool(tmp_path_factory.getbasetemp(), Memory(memory))) as spool,
    ):
        patch.setattr(module, "PART_BYTES", part)
        for index, size in enumerate(sizes):
            spool.append(bytes([index]) * size)
        assert spool.size == len(expected)
        offset = start = data.draw(st.integers(0, len(expected)))
        found = b""
        while offset < spool.size:
            piece = spool.kept(offset) or spool.read(offset)
            assert 0 < len(piece) <= part
            ends_with_an_append = offset + len(piece) in accumulate(sizes)
            assert len(piece) == part or ends_with_an_append  # as `Snapshot.reading` promises
            found, offset = found + piece, offset + len(piece)
    assert found == expected[start:]


def test_a_closed_spool_frees_its_memory_even_if_it_is_referenced(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Memory(10_000_000))
    tracemalloc.start()
    try:
        for _ in range(10):
            spool.append(bytes(1_000_000))
        assert tracemalloc.get_traced_memory()[0] > 10_000_000
        spool.close()
        # Less than a part, and more than other threads of the test run may take meanwhile.
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
    assert spool.kept(0) is None


def test_a_read_during_a_close_still_gets_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, Memory(100))
    spool.append(b"ab")

    def closed_meanwhile(starts: list[int], offset: int) -> int:
        spool.close()
        return bisect_right(starts, offset)

    monkeypatch.setattr(module, "bisect_right", closed_meanwhile)
    assert spool.kept(0) == b"ab"
    assert spool.kept(0) is None


def test_spools_share_memory_and_give_it_back(tmp_path: Path) -> None:
    memory = Memory(10)
    spools = [Spool(tmp_path, memory) for _ in range(3)]
    for spool in spools:
        spool.append(b"abcdef")  # the first bytes at any rate
        spool.append(b"ghij")
    assert [spool.kept(6) for spool in spools] == [b"ghij", None, None]
    assert [spool.read(6) for spool in spools] == [b"ghij"] * 3
    for spool in spools:
        spool.close()
        spool.close()
    assert memory.take(10, anyway=False)
    assert not memory.take(1, anyway=False)


def test_a_small_spool_makes_no_file(tmp_path: Path) -> None:
    before = descriptors()
    spool = Spool(tmp_path, Memory(0))
    spool.append(b"abc")
    assert descriptors() == before
    spool.close()


def test_the_file_has_no_name_and_disappears_with_the_close(tmp_path: Path) -> None:
    before = descriptors()
    spool = in_file(tmp_path)
    assert os.listdir(tmp_path) == []
    assert descriptors() == before + 1
    spool.close()
    assert descriptors() == before


def test_a_closed_spool_makes_no_new_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Memory(0))
    spool.close()
    with pytest.raises(Unavailable, match="closed"):
        spool.append(b"abc")


def test_a_closed_spool_cannot_be_read(tmp_path: Path) -> None:
    spool = in_file(tmp_path)
    spool.close()
    assert spool.kept(0) is None
    with pytest.raises(Unavailable, match="closed"):
        spool.read(2)


def test_a_spool_leaves_the_last_room_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = in_file(tmp_path)
    monkeypatch.setattr(module, "RESERVED_BYTES", 1 << 62)
    with pytest.raises(Unavailable, match="no room"):
        spool.append(b"d")
    assert spool.read(2) == b"c"
    spool.close()
