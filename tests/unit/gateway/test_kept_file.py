"""A kept file is read piece by piece, leaves nothing on the disk, and never fills it."""

import os
from pathlib import Path

import pytest

from eventhub.errors import Unavailable
from eventhub.gateway import kept_file as module
from eventhub.gateway.kept_file import KeptFile, State


def file_of(folder: Path, *pieces: bytes) -> KeptFile:
    file = KeptFile("key", "ann", folder)
    for piece in pieces:
        file.append(piece)
    return file


async def read(file: KeptFile, start: int, stop: int) -> list[bytes]:
    return [part async for part in file.parts(start, stop)]


async def test_any_part_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_BYTES", 4)
    file = file_of(tmp_path, b"0123", b"456789")
    assert file.size == 10
    assert await read(file, 0, 10) == [b"0123", b"4567", b"89"]
    assert await read(file, 3, 5) == [b"34"]
    assert await read(file, 5, 5) == []
    file.close()


async def test_it_has_no_name_and_is_gone_once_closed(tmp_path: Path) -> None:
    file = file_of(tmp_path, b"data")
    assert os.listdir(tmp_path) == []
    file.close()
    with pytest.raises(Unavailable, match="it was removed"):
        await read(file, 0, 4)
    with pytest.raises(Unavailable, match="the file was removed"):
        file.append(b"more")


async def test_a_file_that_was_cut_short_is_no_shorter_file(tmp_path: Path) -> None:
    file = file_of(tmp_path, b"data")
    with pytest.raises(Unavailable, match="it was cut short"):
        await read(file, 0, 5)
    file.close()


def test_the_disk_keeps_room_for_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESERVED_BYTES", 1 << 60)
    file = file_of(tmp_path)
    with pytest.raises(Unavailable, match="the disk has no room"):
        file.append(b"data")
    file.close()


async def test_a_complete_file_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "answer"
    path.write_bytes(b"data")
    file = file_of(tmp_path)
    with path.open("rb") as opened:
        file.adopt(opened, 4)
        assert await read(file, 1, 4) == [b"ata"]
        file.close()
        assert opened.closed


@pytest.mark.parametrize(
    ("sequences", "covers"), [((3, 5), True), ((2, 0), True), ((4, 5), False), ((3, 6), False)]
)
def test_a_state_covers_what_each_of_its_tables_has_seen(
    sequences: tuple[int, int], covers: bool
) -> None:
    assert State("e.3", (3, 5)).covers(sequences) is covers
