"""An archive is brought up to date by itself, over kills, full disks and folders of others."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import duckdb
import pytest

from tests.e2e.command import GOOD, post, rows, run, written
from tests.faults.conftest import HubStarter, SmallDisk
from tests.waiting import until

DEADLINE_SECONDS = 40.0
"""The archive is tried again after a second; a shared machine may take longer."""


def config(to: Path) -> str:
    return f"""
archive: {{to: '{to}', every: 1s}}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {{body: TEXT, n: INTEGER}}
  other:
    pattern: /other
    handler: MessageHandler
    kwargs: {{table: "other table", columns: {{body: TEXT}}}}
"""


def archived(folder: Path) -> list[tuple[Any, ...]]:
    """The sequences in an archive, those that its manifest names; empty before the first."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except FileNotFoundError:
        return []
    files = [str(folder / part["file"]) for part in manifest["parts"]]
    if not files:
        return []
    return (
        duckdb.connect().execute("SELECT _seq FROM read_parquet(?) ORDER BY 1", [files]).fetchall()
    )


def has(folder: Path, expected: list[tuple[Any, ...]]) -> bool:
    return archived(folder) == expected


def sequences(count: int) -> list[tuple[Any, ...]]:
    return [(number,) for number in range(1, count + 1)]


def test_an_archive_follows_over_kills_and_can_be_imported(
    start_hub: HubStarter, tmp_path: Path
) -> None:
    to = tmp_path / "archive"
    hub = start_hub(config(to))
    for life in range(3):
        for number in range(5):
            post(f"{hub.url}/notes", id=f"{life} {number}", n=number)
        post(f"{hub.url}/other", body="other")
        expected = sequences(5 * (life + 1))
        until(partial(has, to / "notes", expected))
        hub.kill()
        hub.start()
    [other] = [each for each in to.iterdir() if each.name != "notes"]
    until(lambda: archived(other) == sequences(3))
    assert {each.stat().st_mode & 0o777 for each in (to / "notes").rglob("*.parquet")} == {0o600}
    file = hub.folder / "eventhub.yaml"
    told = run("import", file, "notes", to / "notes", "--data", tmp_path / "new")
    assert told.stdout == "notes: 15 events imported, 0 are there already\n", told


def test_an_archive_without_room_stops_nobody_and_goes_on(
    start_hub: HubStarter, small_disk: SmallDisk
) -> None:
    disk = small_disk("1m")
    hub = start_hub(config(disk / "archive"))
    for number in range(4):
        post(f"{hub.url}/notes", id=str(number), body=os.urandom(300_000).hex())
    until(lambda: "archive_failed" in hub.stderr())
    with urlopen(f"{hub.url}/readyz") as answer:
        assert answer.read().decode().startswith("ready\nthe archive of notes fails: ")
    post(f"{hub.url}/notes", id="still here")
    assert len(rows(f"{hub.url}/notes")) == 5
    os.system(f"mount -o remount,size=50m {disk}")
    hub.kill()
    hub.start()  # else it is tried again after a minute
    until(lambda: archived(disk / "archive" / "notes") == sequences(5))


def test_an_archive_of_another_log_is_left_alone(start_hub: HubStarter, tmp_path: Path) -> None:
    to = tmp_path / "archive"
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first = start_hub(config(to), tmp_path / "first")
    post(f"{first.url}/notes", id="first")
    until(lambda: archived(to / "notes") == sequences(1))
    first.stop()
    before = (to / "notes" / "manifest.json").read_bytes()
    second = start_hub(config(to), tmp_path / "second")
    post(f"{second.url}/notes", id="second")
    until(lambda: "created again since" in second.stderr())
    assert (to / "notes" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{every: 1h}", "to is missing"),
        ("{to: x, every: hourly}", "write a number and s, m, h or d, such as 1h"),
        ("{to: x, evry: 1h}", "did you mean 'every'"),
    ],
)
def test_a_section_that_cannot_work_stops_the_start(
    tmp_path: Path, section: str, said: str
) -> None:
    file = written(tmp_path, f"archive: {section}\nurl: {{}}\n")
    done = run("check", file)
    assert done.returncode == 2
    assert said in done.stderr


def test_an_archiver_without_an_archive_is_refused(tmp_path: Path) -> None:
    done = run("serve", written(tmp_path, GOOD), "--role", "archiver")
    assert done.returncode == 2
    assert "the file has no `archive:`" in done.stderr
