"""Nobody but its owner reads the data folder, whatever rights it had before."""

import os
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from eventhub.data_folder import keep_private
from eventhub.errors import Misconfigured


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_new_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    with capture_logs() as logs:
        keep_private(tmp_path / "a" / "data")
    assert mode(tmp_path / "a" / "data") == 0o700
    assert logs == []


def test_rights_of_others_are_removed_and_logged(tmp_path: Path) -> None:
    folder, inner = tmp_path / "data", tmp_path / "data" / "jetstream"
    inner.mkdir(parents=True)
    database, private = tmp_path / "projection.duckdb", inner / "private"
    for path, given in ((database, 0o666), (inner / "block", 0o644), (private, 0o400)):
        path.touch()
        path.chmod(given)
    inner.chmod(0o755)
    folder.chmod(0o751)
    with capture_logs() as logs:
        keep_private(folder, database, tmp_path / "missing.wal")
    assert [mode(path) for path in (folder, inner, inner / "block", private, database)] == [
        0o700,
        0o700,
        0o600,
        0o400,
        0o600,
    ]
    assert [(line["event"], line.get("mode"), line.get("files")) for line in logs] == [
        ("data_folder_tightened", "0751", None),
        ("data_tightened", None, 3),
    ]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch()
    outside.chmod(0o644)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(outside)
    keep_private(tmp_path / "data")
    assert mode(outside) == 0o644


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match=r"the data folder cannot be used: .*file/data"):
        keep_private(tmp_path / "file" / "data")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(Misconfigured, match="belongs to user 65534"):
        keep_private(tmp_path)
