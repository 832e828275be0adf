"""The files of a hub are private to its user, from the first byte on."""

import os
import stat
from pathlib import Path

import pytest

from tests.e2e.command import GOOD, post, refused, run
from tests.e2e.hub import Hub

NOBODY = 65534


def hub_in(folder: Path, config: str = GOOD) -> Hub:
    (folder / "eventhub.yaml").write_text(config)
    return Hub(folder / "eventhub.yaml", folder, [])


def written(hub: Hub) -> list[Path]:
    """Return all that a running hub has written, in memory too."""
    assert hub.process is not None
    staged = list(Path("/dev/shm").glob(f"eventhub-{hub.process.pid}-*"))
    assert staged
    folders = [hub.folder / "data", *staged]
    elsewhere = hub.folder.glob("elsewhere/*")
    return [*folders, *(path for folder in folders for path in folder.rglob("*")), *elsewhere]


def open_to_others(paths: list[Path]) -> dict[str, str]:
    found = {path: path.lstat().st_mode for path in paths if not path.is_symlink()}
    return {str(p): f"{stat.S_IMODE(m):04o}" for p, m in found.items() if m & 0o077}


@pytest.fixture(autouse=True)
def everybodys_umask() -> None:
    """As most systems have it: what is made is readable by all."""
    assert os.umask(0o022) in (0o022, 0o077, 0o002)


def test_every_file_of_a_hub_is_private(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    hub = hub_in(tmp_path, GOOD + "projection: {path: elsewhere/tables.duckdb}\n")
    hub.start()
    try:
        for number in range(50):
            post(f"{hub.url}/notes", body="x", n=number)
        paths = written(hub)
        names = {path.name for path in paths}
        assert names >= {"session.key", "broker.conf", "broker.log", "tables.duckdb", "meta.inf"}
        assert names >= {"tables.duckdb.wal", "batches", "1.blk"}
        assert open_to_others(paths) == {}
        hub.stop()
        hub.start()
        assert open_to_others(written(hub)) == {}
    finally:
        hub.kill()


def test_an_existing_folder_is_tightened_and_that_is_logged(tmp_path: Path) -> None:
    hub = hub_in(tmp_path)
    hub.start()
    try:
        post(f"{hub.url}/notes", body="x")
        hub.stop()
        (tmp_path / "data").chmod(0o755)
        for path in (tmp_path / "data").rglob("*"):
            path.chmod(path.stat().st_mode | 0o044)
        hub.start()
        assert open_to_others(written(hub)) == {}
        assert "data_folder_tightened" in hub.stderr()
        assert "0755" in hub.stderr()
        assert "data_tightened" in hub.stderr()
    finally:
        hub.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "eventhub.yaml").write_text(GOOD)
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, NOBODY, NOBODY)
    for command in ("serve", "verify", "rebuild", "alerts list"):
        done = run(*command.split(), tmp_path / "eventhub.yaml", "--data", data)
        assert f"belongs to user {NOBODY}" in refused(2, done)
    assert list(data.iterdir()) == []
