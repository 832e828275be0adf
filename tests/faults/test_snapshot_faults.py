"""A snapshot that finds no room, or is cut off, changes nothing and stops nobody."""

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.e2e.command import EVENTHUB, GOOD, post, rows, run
from tests.e2e.hub import Hub
from tests.faults.conftest import HubStarter, SmallDisk

DEADLINE_SECONDS = 40.0


def snapshot(hub: Hub, out: Path) -> list[str]:
    file, data = hub.folder / "eventhub.yaml", hub.folder / "data"
    return ["snapshot", str(file), str(out), "--data", str(data)]


def test_a_copy_never_takes_the_room_of_the_log(
    start_hub: HubStarter, small_disk: SmallDisk, tmp_path: Path
) -> None:
    hub = start_hub(GOOD, small_disk("128m"))
    post(f"{hub.url}/notes", id="before")
    done = run(*snapshot(hub, tmp_path / "out.duckdb"))
    assert done.returncode == 1
    assert "has no room for a copy" in done.stderr
    assert not (tmp_path / "out.duckdb").exists()
    post(f"{hub.url}/notes", id="after")
    assert [row["id"] for row in rows(f"{hub.url}/notes")] == ["before", "after"]


def test_a_full_disk_leaves_the_snapshot_of_before(
    start_hub: HubStarter, small_disk: SmallDisk
) -> None:
    hub = start_hub(GOOD)
    disk = small_disk("3m")
    out = disk / "out.duckdb"
    post(f"{hub.url}/notes", id="before")
    assert run(*snapshot(hub, out)).returncode == 0
    before = out.read_bytes()
    for number in range(3):
        post(f"{hub.url}/notes", id=f"large {number}", body=os.urandom(450_000).hex())
    done = run(*snapshot(hub, out))
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert out.read_bytes() == before
    assert [each.name for each in disk.iterdir()] == ["out.duckdb"]


def test_what_a_kill_leaves_is_removed(start_hub: HubStarter, tmp_path: Path) -> None:
    hub = start_hub(GOOD)
    for number in range(20):
        post(f"{hub.url}/notes", id=str(number), body=os.urandom(400_000).hex())
    data = hub.folder / "data"
    command = [*EVENTHUB, *snapshot(hub, tmp_path / "out.duckdb")]
    with subprocess.Popen(command, start_new_session=True) as process:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not [*data.glob(".copy-*")]:
            assert time.monotonic() < deadline
        hub.kill()
        assert process.wait(DEADLINE_SECONDS) == 1
    assert [*data.glob(".copy-*")]
    assert [*tmp_path.glob("*out.duckdb*")] == []
    hub.start()
    assert not [*data.glob(".copy-*")]
    with subprocess.Popen(command, start_new_session=True) as process:
        while not [*tmp_path.glob(".out.duckdb*")]:
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
    assert not (tmp_path / "out.duckdb").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [*tmp_path.glob(".out.duckdb*")] == []
