"""A file is there whole under its name, or what was there before is."""

from pathlib import Path

import pytest

from eventhub.errors import Unavailable
from projections.files import PARTIAL, remove_partial, written


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "rows.csv"
    with written(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names(tmp_path) == ["rows.csv"]


def fail_halfway(path: Path) -> None:
    path.write_text("half")
    raise KeyError("a fault")


def test_a_failure_leaves_the_file_of_before_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("before")
    with pytest.raises(KeyError), written(path) as partial:
        fail_halfway(partial)
    assert path.read_text() == "before"
    assert names(tmp_path) == ["rows.csv"]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "sub").write_text("in the way")
    place = tmp_path / "sub" / "rows.csv"
    with pytest.raises(Unavailable, match=r"sub/rows.csv cannot be written: "), written(place):
        pass
    with pytest.raises(Unavailable, match="disk"), written(tmp_path / "rows.csv"):
        raise OSError("the disk is full")


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "day=1").mkdir()
    for name in ("rows.csv", f".rows.csv{PARTIAL}", f"day=1/.a{PARTIAL}", f"day=1/a{PARTIAL}"):
        (tmp_path / name).touch()
    remove_partial(tmp_path)
    assert names(tmp_path) == [f"a{PARTIAL}", "rows.csv"]
