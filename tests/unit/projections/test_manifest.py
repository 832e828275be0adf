"""A folder is of one export of one log, and a manifest says exactly what of it is there."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventhub.errors import Misconfigured, Rejected
from projections.files import PARTIAL
from projections.manifest import (
    NAME,
    Manifest,
    Part,
    Scope,
    claimed,
    load,
    part_name,
    save,
    take_up,
)

SCOPE = Scope(table="chat", what="events", format="parquet")
PART = Part(file=part_name("2026-11-23", 1, 9, ".parquet"), count=9, bytes=100)
DONE = Manifest(scope=SCOPE, epoch="e1", sequence=9, complete=True, parts=(PART,))


def again(folder: Path, **changes: Any) -> Manifest:
    wanted = {"scope": SCOPE, "epoch": "e1", "last": 9, "again": True, **changes}
    return take_up(folder, wanted.pop("scope"), wanted.pop("epoch"), wanted.pop("last"), **wanted)


def test_names_sort_in_the_order_of_the_log() -> None:
    names = [part_name("2026-11-23", first, first + 1, ".csv") for first in (9, 10, 999_999)]
    assert names == sorted(names)
    assert names[0] == "day=2026-11-23/000000000009-000000000010.csv"


def test_a_manifest_is_read_back(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    save(tmp_path, DONE)
    assert load(tmp_path) == DONE
    assert (DONE.count, DONE.position) == (9, "e1.9")
    assert (tmp_path / NAME).read_text().endswith("}\n")


def test_a_manifest_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{")
    with pytest.raises(Rejected, match=f"{NAME} cannot be read"):
        load(tmp_path)


def test_a_new_folder_begins_with_an_empty_manifest(tmp_path: Path) -> None:
    (tmp_path / f".rows{PARTIAL}").touch()  # of a run that was killed before its first step
    assert again(tmp_path) == Manifest(scope=SCOPE, epoch="e1")
    assert list(tmp_path.iterdir()) == []


def test_a_run_goes_on_where_the_last_one_was_and_removes_what_it_left(tmp_path: Path) -> None:
    day = tmp_path / "day=2026-11-23"
    day.mkdir()
    kept = [tmp_path / PART.file, day / "notes.txt"]
    left = [day / part_name("x", 10, 12, ".parquet")[len("day=x/") :], day / f".a{PARTIAL}"]
    for path in (*kept, *left):
        path.touch()
    save(tmp_path, DONE)
    assert again(tmp_path) == DONE
    assert [path.exists() for path in (*kept, *left)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scope": msgspec.structs.replace(SCOPE, format="csv")}, "format 'parquet', not 'csv'"),
        ({"scope": msgspec.structs.replace(SCOPE, table="b")}, "table 'chat', not 'b'"),
        ({"epoch": "e2"}, "was exported at e1.9"),
        ({"last": 8}, "was exported at e1.9"),
        ({"again": False}, "--continue adds what is new"),
    ],
)
def test_another_export_is_refused_and_changes_nothing(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    save(tmp_path, DONE)
    with pytest.raises(Rejected, match=says) as refusal:
        again(tmp_path, **changes)
    assert refusal.value.code == "bad_request"
    assert load(tmp_path) == DONE


def test_files_of_others_are_not_mixed_with_an_export(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(Rejected, match="has other files"):
        again(tmp_path)


def test_two_exports_do_not_write_to_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with claimed(folder):
        assert folder.is_dir()
        with pytest.raises(Misconfigured, match="another export is writing"), claimed(folder):
            pass
    with claimed(folder):
        pass


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(Misconfigured, match="file cannot be exported to"), claimed(file):
        pass
