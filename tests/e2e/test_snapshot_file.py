"""A snapshot is a DuckDB file of all tables at one moment, made while writes go on."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from tests.e2e.command import post, refused, run, written
from tests.e2e.hub import Hub, HubFactory

TOKEN = "a-token-of-some-length"
CONFIG = f"""
server: {{admin: {{token: {TOKEN}}}}}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {{body: TEXT, n: INTEGER, price: "DECIMAL(12,2)", tags: JSON, seen: TIMESTAMPTZ}}
  other:
    pattern: /other
    handler: MessageHandler
    kwargs: {{columns: {{body: TEXT}}}}
"""


@contextmanager
def writing(url: str) -> Iterator[None]:
    """Change rows for as long as the block lasts."""
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            post(url, id=str(number), n=number, body="x" * 100)
            post(url, id=str(number), _method="PUT", body="changed")
            if number % 3 == 0:
                post(url, id=str(number), _method="DELETE")
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def check_consistent(path: Path) -> int:
    """Return the position of a copy, whose rows are exactly what its history comes to."""
    with duckdb.connect(path, read_only=True) as copy:
        [(epoch, head, watermark)] = copy.execute(
            "SELECT epoch, c.seq, w.seq FROM _checkpoint c JOIN _watermark w USING (channel)"
            " WHERE channel = 'notes'"
        ).fetchall()
        assert (epoch != "", head) == (True, watermark)
        whole = "SELECT count(*), max(_seq) FROM notes_history"
        assert copy.execute(whole).fetchall() == [(head, head)]
        names = "id, body, n, tags, _seq, _created_seq"
        folded = (
            f"SELECT {names} FROM notes_history QUALIFY _method <> 'DELETE'"
            " AND row_number() OVER (PARTITION BY id ORDER BY _seq DESC) = 1"
        )
        current = f"SELECT {names} FROM notes"
        for one, other in ((folded, current), (current, folded)):
            assert copy.execute(f"({one}) EXCEPT ({other})").fetchall() == []
        return int(head)


@pytest.fixture
def hub(hub_factory: HubFactory) -> Hub:
    started = hub_factory(CONFIG)
    post(f"{started.url}/notes", id="kept", price="1.05", tags=[1], seen="2026-01-01T00:00:00Z")
    post(f"{started.url}/other", body="here too")
    return started


def test_a_copy_is_consistent_while_writes_go_on(hub: Hub, tmp_path: Path) -> None:
    positions = []
    with writing(f"{hub.url}/notes"):
        for number in range(3):
            path = tmp_path / f"{number}.duckdb"
            urllib.request.urlretrieve(f"{hub.url}/-/snapshot.duckdb", path)
            positions.append(check_consistent(path))
        file, data = hub.folder / "eventhub.yaml", hub.folder / "data"
        done = run("snapshot", file, tmp_path / "3.duckdb", "--data", data)
        assert (done.returncode, done.stdout) == (0, f"{tmp_path}/3.duckdb is written\n"), done
        positions.append(check_consistent(tmp_path / "3.duckdb"))
    assert positions == sorted(positions)
    assert positions[0] < positions[-1]
    hub.stop()
    assert run("snapshot", file, tmp_path / "4.duckdb", "--data", data).returncode == 0
    assert check_consistent(tmp_path / "4.duckdb") >= positions[-1]
    with duckdb.connect(tmp_path / "4.duckdb", read_only=True) as copy:
        version = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE NOT internal"
        assert copy.execute(version).fetchall() == [("v1.5.0+",)]
        sql = "SELECT CAST(price AS VARCHAR), tags, epoch_us(seen) FROM notes WHERE id = 'kept'"
        assert copy.execute(sql).fetchall() == [("1.05", "[1]", 1767225600000000)]
        assert copy.execute("SELECT body FROM other").fetchall() == [("here too",)]
    assert not [*data.glob(".copy-*")]


def test_a_hub_goes_on_from_a_copy(hub: Hub, tmp_path: Path) -> None:
    file, data = hub.folder / "eventhub.yaml", hub.folder / "data"
    run("snapshot", file, tmp_path / "copy.duckdb", "--data", data)
    post(f"{hub.url}/notes", id="later")
    hub.kill()
    (data / "projection.duckdb.wal").unlink(missing_ok=True)
    (tmp_path / "copy.duckdb").replace(data / "projection.duckdb")
    hub.start()
    assert "notes: equal (2 rows, 2 events)" in run("verify", file, "--data", data).stdout


def test_a_copy_is_for_operators(hub: Hub) -> None:
    def status(**headers: str) -> int:
        asked = urllib.request.Request(f"{hub.url}/-/snapshot.duckdb", headers=headers)
        try:
            with urllib.request.urlopen(asked) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert status() == 200  # of this machine
    proxied = {"X-Forwarded-For": "203.0.113.1"}
    assert status(**proxied) == 403
    assert status(**proxied, Authorization="Bearer wrong") == 403
    assert status(**proxied, Authorization=f"Bearer {TOKEN}") == 200


def test_what_cannot_be_copied_is_said(tmp_path: Path) -> None:
    file = written(tmp_path, CONFIG)
    (tmp_path / "file").touch()
    told = refused(1, run("snapshot", file, tmp_path / "file" / "out.duckdb"))
    assert "out.duckdb cannot be written" in told
