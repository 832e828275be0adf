"""`Hub` is `AsyncHub` without an event loop: the same names, arguments and results."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from eventhub_client import AsyncHub, ClosedError, ConflictError, Hub, Rows, SyncRows
from tests.e2e.eventhub_client.conftest import get
from tests.e2e.hub import Hub as Server
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("eventhub_client")


def public(kind: type) -> dict[str, list[str]]:
    """Return the methods of a class, each with its arguments."""
    methods = inspect.getmembers(kind, inspect.isfunction)
    return {
        name: list(inspect.signature(method).parameters)
        for name, method in methods
        if not name.startswith("_") and name not in ("close", "aclose", "bulk_writer")
    }


def test_the_names_and_arguments_are_the_same() -> None:
    assert public(SyncRows) == public(Rows)
    expected = public(AsyncHub)
    expected["rows"] = ["self", "path", "query"]
    assert public(Hub) == expected


def test_a_program_without_an_event_loop_writes_and_follows(
    server: Server, path: str, tmp_path: Path
) -> None:
    with Hub(server.url) as hub:
        hub.post(path, {"id": "a", "n": 1})
        assert hub.bulk(path, ({"id": f"m{n}", "n": n} for n in range(3))) == 3
        hub.put(path, {"id": "a", "n": 7})
        with pytest.raises(ConflictError):
            hub.post(path, {"id": "a"})
        hub.delete(path, "m1")
        rows = hub.rows(path, sort="-n")
        assert list(rows.ready(20)) == ["a", "m2", "m0"]
        assert (rows.state, rows.error, rows["a"]["n"], len(rows)) == ("live", None, 7, 3)
        hub.delete(path, "m2")
        for shown in rows.updates():
            if list(shown) == ["a", "m0"]:
                break
        assert [each.method for each in hub.log(path)] == [
            *["POST"] * 4,
            "PUT",
            *["DELETE"] * 2,
        ]
        for change in hub.changes(path, since="earliest", checkpoint=tmp_path / "c"):
            if change.seq == 3:
                break
        assert next(iter(hub.changes(path, checkpoint=tmp_path / "c"))).seq == 3
        assert len(hub.arrow(path)) == len(hub.polars(path)) == len(hub.frame(path)) == 2
    assert len(get(server, path)) == 2


def test_a_hub_that_is_closed_ends_what_waits_for_it(server: Server, path: str) -> None:
    hub = Hub(server.url)
    rows = hub.rows(path)
    rows.ready(20)
    ended: list[str] = []

    def wait_for(name: str, steps: Iterator[object]) -> None:
        ended.extend(name for _ in steps if name == "changes")
        ended.append(name)

    steps = {"rows": rows.updates(), "changes": hub.changes(path, since="earliest")}
    hub.post(path, {})
    waiting = [Thread(target=wait_for, args=each) for each in steps.items()]
    for each in waiting:
        each.start()
    until(lambda: ended == ["changes"])  # it has got the first, and waits for the next
    hub.close()
    for each in waiting:
        each.join(20)
    assert sorted(ended) == ["changes", "changes", "rows"]
    assert rows.state == "ended"
    with pytest.raises(ClosedError):
        hub.post(path, {})
    hub.close()


def test_a_program_ends_though_it_left_a_hub_open(server: Server, path: str) -> None:
    program = (
        "import sys; from eventhub_client import Hub; hub = Hub(sys.argv[1])\n"
        "hub.post(sys.argv[2], {}); rows = hub.rows(sys.argv[2])\n"
        "changes = hub.changes(sys.argv[2], since='earliest'); next(changes)"
    )
    command = [sys.executable, "-c", program, server.url, path]
    ended = subprocess.run(command, capture_output=True, timeout=40, check=False, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_thread_of_a_hub_ends_with_it(server: Server) -> None:
    hub = Hub(server.url)
    thread = hub._loop._thread
    assert thread.is_alive()
    hub.close()
    assert not thread.is_alive()
