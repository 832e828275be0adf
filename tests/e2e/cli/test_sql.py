"""`eventhub sql` gives the same answers whether a hub runs or not, and prompts at a terminal."""

import json
import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.e2e.command import EVENTHUB, GOOD, post, run
from tests.e2e.hub import Hub, HubFactory

SQL = """
  sql:
    pattern: /sql
    handler: SQLHandler
    kwargs: {limits: {seconds: 5, memory: 256MiB}}
"""
DEADLINE_SECONDS = 40.0


def filled(hub: Hub) -> None:
    post(f"{hub.url}/notes", id="a", body="one\x1b[31m", n=1)
    post(f"{hub.url}/notes", id="b", body="two", n=2)
    post(f"{hub.url}/notes", _method="PUT", id="b", n=3)


def query(hub: Hub, *words: object) -> str:
    """Return what a query prints; its log lines do not count."""
    done = run("sql", hub.config, *words, "--data", hub.folder / "data")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("state", ["handler", "no handler", "stopped"])
def test_the_answers_do_not_depend_on_who_gives_them(hub_factory: HubFactory, state: str) -> None:
    hub = hub_factory(GOOD + SQL if state == "handler" else GOOD)
    filled(hub)
    if state == "stopped":
        assert hub.stop() == 0
    else:
        wait_for_last_write(hub)
    assert json.loads(
        query(hub, "SELECT id, n FROM notes WHERE n >= $n", "--param", "n=2", "--format", "json")
    ) == [{"id": "b", "n": 3}]
    assert query(hub, "SELECT id, n FROM notes_as_of(2) ORDER BY id", "--format", "csv") == (
        "id,n\na,1\nb,2\n"
    )
    target = hub.folder / "out.parquet"
    assert query(hub, "SELECT count(*) AS c FROM notes_history", "--output", target) == ""
    assert pyarrow.parquet.read_table(target).to_pylist() == [{"c": 3}]
    escaped = r"one\u001b[31m"
    assert query(hub, "SELECT body, n FROM notes WHERE id = 'a'") == (
        f"{'body'.ljust(len(escaped))}  n\n{'─' * len(escaped)}  ─\n{escaped}  1\n"
    )
    assert not list((hub.folder / "data").glob(".query-*"))


def wait_for_last_write(hub: Hub) -> None:
    """Wait until queries see everything; they may be two seconds behind."""
    give_up = time.monotonic() + DEADLINE_SECONDS
    while "3" not in query(hub, "SELECT count(*) AS c FROM notes_history", "--format", "csv"):
        assert time.monotonic() < give_up


def test_a_mistake_is_one_line_and_ends_with_a_status(hub_factory: HubFactory) -> None:
    hub = hub_factory(GOOD + SQL)
    data = ("--data", hub.folder / "data")
    for words, status, text in (
        (["FROM nope"], 1, "nope does not exist"),
        (["DROP TABLE notes"], 1, "only SELECT"),
        (["SELECT $n"], 1, "$n"),
        (["SELECT 1", "--param", "n"], 2, "NAME=VALUE"),
        (["SELECT 1", "--output", hub.folder / "no" / "file.csv"], 2, "No such file"),
    ):
        done = run("sql", hub.config, *words, *data)
        assert done.returncode == status, done
        assert text in done.stderr


def test_a_table_is_cut_and_says_so(hub_factory: HubFactory) -> None:
    hub = hub_factory(GOOD)
    done = run("sql", hub.config, "FROM range(1000)", "--data", hub.folder / "data")
    assert len(done.stdout.splitlines()) == 202
    assert "there are more rows than these 200; --format csv has more" in done.stderr
    text = query(hub, "FROM range(1000)", "--format", "ndjson")
    assert len(text.splitlines()) == 1000


def test_the_prompt_answers_statements_and_remembers_them(hub_factory: HubFactory) -> None:
    hub = hub_factory(GOOD)
    filled(hub)
    typed = "SELECT id, n\nFROM notes ORDER BY id;\nFROM nope;\nexit\n"
    shown = at_a_terminal(
        [*EVENTHUB, "sql", str(hub.config), "--data", str(hub.folder / "data")], typed
    )
    assert "nope does not exist" in shown
    assert "a   1" in shown
    assert "b   3" in shown
    assert "FROM nope;" in (hub.folder / "data" / "sql_history").read_text()


def at_a_terminal(command: list[str], typed: str) -> str:
    """Return what a command shows at a terminal where a text is typed."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=Path("/"))
    os.close(slave)
    shown = b""
    give_up = time.monotonic() + DEADLINE_SECONDS
    while process.poll() is None and time.monotonic() < give_up:
        if select.select([master], [], [], 0.1)[0]:
            try:
                shown += os.read(master, 1 << 16)
            except OSError:  # the other end is closed
                break
        if typed and shown.rstrip().endswith((b"sql>", b"...>")):
            line, _, typed = typed.partition("\n")
            os.write(master, line.encode() + b"\n")
    assert process.wait(DEADLINE_SECONDS) == 0, shown
    os.close(master)
    return shown.decode()
