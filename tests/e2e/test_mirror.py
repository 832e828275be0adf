"""A table where the file says: read by other programs, and started from with all its past."""

import asyncio
import json
import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.database_server import DatabaseServer
from tests.databases import Database, Sqlite
from tests.e2e.command import output, post, refused, rows, run, written
from tests.e2e.hub import Hub, HubFactory
from tests.integration.alerts.sink import Sink
from tests.mirroring import locked
from tests.postgres import Postgres
from tests.waiting import until

CONFIG = """
url:
  messagehandler/simple:
    pattern: /$YAMLURL/simple
    handler: MessageHandler
    kwargs:
      url: {url}
      table: simple
      columns:
        body: TEXT
        votes: INTEGER
"""
OLD_ROWS = 10_000
FEW = 100
OLD_SQLITE = """CREATE TABLE simple (
    body TEXT, votes INTEGER, id TEXT NOT NULL, user TEXT, timestamp TEXT, PRIMARY KEY (id))"""
OLD_SERVER = """CREATE TABLE simple (
    body TEXT, votes BIGINT, id VARCHAR(200), "user" TEXT, "timestamp" TEXT, PRIMARY KEY (id))"""
INSERT = 'INSERT INTO simple (body, votes, id, "user", "timestamp") VALUES (%s, %s, %s, %s, %s)'
SELECT = 'SELECT body, votes, id, "user", "timestamp" FROM simple'


def old_row(number: int) -> tuple[object, ...]:
    """A row of the older system: ids do not sort as they were made."""
    seconds = f"2020-01-02T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}"
    user = f"user{number % 7}@example.org" if number % 3 else None
    return f"message {number}", number % 5 or None, f"id-{number * 7919 % 10007}", user, seconds


OLD = [old_row(number) for number in range(OLD_ROWS)]
AS_ROWS = [dict(zip(("body", "votes", "id", "user", "timestamp"), row, strict=True)) for row in OLD]


def fill(database: Database, count: int = OLD_ROWS) -> None:
    """Leave the table of the older system in a database."""
    database.execute(OLD_SQLITE if isinstance(database, Sqlite) else OLD_SERVER)
    database.execute(INSERT, OLD[:count])


def mirrored(database: Database) -> list[tuple[object, ...]]:
    return sorted(database.fetch(SELECT), key=lambda row: str(row[2]))


def served(hub: Hub) -> list[tuple[object, ...]]:
    found = [tuple(row.values()) for row in rows(f"{hub.url}/simple")]
    return sorted(found, key=lambda row: str(row[2]))


def proved(hub: Hub) -> str:
    """Prove that tables and mirror are what the log of a stopped hub says; return what is told."""
    done = run("verify", hub.config, "--data", hub.folder / "data")
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def old(database: Database) -> Database:
    """A database with a few rows of the older system."""
    fill(database, FEW)
    return database


def test_a_hub_starts_with_the_rows_of_the_older_system_and_only_once(
    database: Database, hub_factory: HubFactory
) -> None:
    fill(database)
    hub = hub_factory(CONFIG.format(url=database.url))
    assert rows(f"{hub.url}/simple") == AS_ROWS
    post(f"{hub.url}/simple", body="new")
    hub.stop()
    hub.start()
    assert len(rows(f"{hub.url}/simple")) == OLD_ROWS + 1
    until(lambda: mirrored(database) == served(hub))
    hub.stop()
    assert proved(hub) == (
        f"simple: equal ({OLD_ROWS + 1} rows, {OLD_ROWS + 1} events)\n"
        f"simple mirror: equal ({OLD_ROWS + 1} rows, {OLD_ROWS + 1} events)\n"
    )


def launch_first_start(database: Database, hub: Hub, share: float) -> None:
    """Launch a hub on the table of the older system, and return when it has imported a share."""
    hub.stop()
    shutil.rmtree(hub.folder / "data")
    database.execute("DROP TABLE simple")
    database.execute("DROP TABLE eventhub_mirror")
    fill(database)
    hub.launch()
    # An event has about 400 bytes on disk.
    until(lambda: size_of(hub.folder / "data" / "jetstream") > share * OLD_ROWS * 400)


def has_everything_once(database: Database, hub: Hub) -> None:
    """Start a hub, and check that each row of the older system became one event, and one row."""
    hub.start()
    assert rows(f"{hub.url}/simple") == AS_ROWS
    hub.stop()
    counts = f"({OLD_ROWS} rows, {OLD_ROWS} events)"
    assert proved(hub) == f"simple: equal {counts}\nsimple mirror: equal {counts}\n"
    assert mirrored(database) == sorted(OLD, key=lambda row: str(row[2]))


@pytest.mark.parametrize(
    ("database", "end", "share"),
    [
        ("sqlite", "kill", 0.1),
        ("sqlite", "stop", 0.3),
        ("postgres", "kill", 0.6),
        ("mariadb", "kill", 0.6),
    ],
    indirect=["database"],
)
def test_an_import_that_is_cut_off_goes_on(
    database: Database, hub_factory: HubFactory, end: str, share: float
) -> None:
    hub = hub_factory(CONFIG.format(url=database.url))
    launch_first_start(database, hub, share)
    getattr(hub, end)()
    has_everything_once(database, hub)


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
def test_an_import_whose_database_is_killed_says_so_and_goes_on(
    database: DatabaseServer, hub_factory: HubFactory
) -> None:
    hub = hub_factory(CONFIG.format(url=database.url))
    launch_first_start(database, hub, 0.1)
    database.kill()
    try:
        assert hub.process is not None
        assert hub.process.wait(30) == 1
        told = hub.stderr().splitlines()[-1]
        assert told.startswith(f"eventhub: table simple in {database.url.partition(':')[0]}:hub: ")
        assert told.endswith("(unreachable)")
    finally:
        database.start()
    has_everything_once(database, hub)


def size_of(folder: Path) -> int:
    """Return the bytes of a log, whose files come and go."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += Path(parent, name).stat().st_size if name.endswith(".blk") else 0
    return size


async def test_old_rows_send_no_mail(hub_factory: HubFactory, tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "messages.db")
    database.execute(OLD_SQLITE)
    database.execute(INSERT, OLD[:3])
    async with Sink.running() as sink:
        service = f"type: smtp, host: 127.0.0.1, port: {sink.port}, tls: false"
        config = f"email: {{local: {{{service}, email: hub@example.org}}}}"
        alert = "      alert: {to: ann@example.org, suppressible: false, subject: '{{ body }}'}\n"
        config += CONFIG.format(url=database.url) + alert
        hub = await asyncio.to_thread(hub_factory, config)
        await asyncio.to_thread(post, f"{hub.url}/simple", body="new")
        [taken] = await sink.has(1)
        assert taken.mail["Subject"] == "new"


def test_psql_sees_a_write_within_a_second(postgres: Postgres, hub_factory: HubFactory) -> None:
    hub = hub_factory(CONFIG.format(url=postgres.url))
    seconds = []
    for number in range(1, 6):  # the machine may pause in any one of them
        began = time.monotonic()
        post(f"{hub.url}/simple", body=f"Hello {number}")
        until(lambda: len(postgres.fetch(SELECT)) == number)  # noqa: B023 - called at once
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 1
    query = [str(postgres.programs / "psql"), postgres.url, "-Atc", "SELECT max(body) FROM simple"]
    assert subprocess.run(query, check=True, capture_output=True).stdout == b"Hello 5\n"


# --- What is wrong


def test_rows_that_do_not_fit_are_named_and_the_start_stops(tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "messages.db")
    database.execute(OLD_SQLITE)
    database.execute(INSERT, OLD[:6])
    database.execute(INSERT, [("text", "many", "bad", None, None)])
    file = written(tmp_path, CONFIG.format(url="sqlite:///messages.db"))
    done = run("serve", file, "--port", 0)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if not line.startswith("{")] == [
        f"eventhub: table simple in sqlite:{database.path}: 1 of 7 rows do not fit, so none was"
        " imported:",
        "  row 7 (id 'bad'): votes: \"many\" is not a whole number (bad_value)",
        "correct them, or leave them out with `import: skip`",
    ]
    assert len(database.fetch(SELECT)) == 7


def test_a_first_start_without_its_database_says_so(tmp_path: Path) -> None:
    file = written(tmp_path, CONFIG.format(url="postgresql://hub:secret@127.0.0.1:1/hub"))
    told = refused(1, run("serve", file, "--port", 0))
    assert told.startswith("table simple in postgresql:hub: ")
    assert "Connection refused" in told
    assert told.endswith("(unreachable)")
    assert "secret" not in told


def test_a_table_with_other_columns_stops_the_first_start(old: Database, tmp_path: Path) -> None:
    old.execute("ALTER TABLE simple ADD COLUMN topic TEXT")
    file = written(tmp_path, CONFIG.format(url=old.url))
    told = refused(1, run("serve", file, "--port", 0))
    assert told.endswith("topic is not among `columns:` (columns)")


def test_a_hub_that_stops_leaves_its_last_message_in_the_mirror(
    tmp_path: Path, hub_factory: HubFactory
) -> None:
    database = Sqlite(tmp_path / "messages.db")
    hub = hub_factory(CONFIG.format(url=database.url))
    for number in range(5):
        post(f"{hub.url}/simple", body=f"{number}")
    assert rows(f"{hub.url}/simple")[-1]["body"] == "4"
    hub.stop()
    assert [row[0] for row in database.fetch(SELECT)] == ["0", "1", "2", "3", "4"]
    assert not database.path.with_name("messages.db-wal").exists()


def test_clients_do_not_notice_a_database_that_is_gone(
    postgres: Postgres, hub_factory: HubFactory
) -> None:
    hub = hub_factory(CONFIG.format(url=postgres.url))
    url = f"{hub.url}/simple"
    post(url, body="before")
    until(lambda: len(postgres.fetch(SELECT)) == 1)
    postgres.stop()
    try:
        for number in range(5):
            post(url, body=f"{number}")
        until(lambda: "the mirror of simple is 5 events behind: table simple" in ready(hub))
        assert "(unreachable)" in ready(hub)
        assert ready(hub).startswith("ready\n")
        assert 'eventhub_mirror_lag_events{channel="simple"} 5.0' in page(hub, "metrics")
        assert len(rows(url)) == 6
        assert hub.stop() == 0
        hub.start()
        assert len(rows(url)) == 6
    finally:
        postgres.start()
    until(lambda: len(postgres.fetch(SELECT)) == 6, seconds=60)
    until(lambda: ready(hub) == "ready\n")
    lines = [json.loads(line) for line in hub.stderr().splitlines()]
    failed = [line for line in lines if line["event"] == "mirror_failed"]
    assert {line["code"] for line in failed} == {"unreachable"}


def test_clients_do_not_notice_a_table_that_is_locked_all_the_time(
    database: Database, hub_factory: HubFactory
) -> None:
    hub = hub_factory(CONFIG.format(url=database.url))
    url = f"{hub.url}/simple"
    post(url, body="before")
    until(lambda: len(mirrored(database)) == 1)
    with locked(database):
        for number in range(1, 101):
            post(url, body=f"{number}")
            assert len(rows(url)) == number + 1
        until(lambda: "the mirror of simple is 100 events behind" in ready(hub))
        assert ready(hub).startswith("ready\n")
        until(lambda: 'eventhub_mirror_lag_events{channel="simple"} 100.0' in page(hub, "metrics"))
    until(lambda: ready(hub) == "ready\n", seconds=60)
    assert mirrored(database) == served(hub)
    assert 'eventhub_mirror_lag_events{channel="simple"} 0.0' in page(hub, "metrics")


def ready(hub: Hub) -> str:
    return page(hub, "readyz")


def page(hub: Hub, path: str) -> str:
    with urlopen(f"{hub.url}/{path}") as answer:
        return str(answer.read().decode())


def test_rebuild_replaces_what_others_wrote(old: Database, hub_factory: HubFactory) -> None:
    hub = hub_factory(CONFIG.format(url=old.url))
    until(lambda: ready(hub) == "ready\n")
    data = ("--data", hub.folder / "data")
    assert "stop the hub first" in refused(2, run("rebuild", hub.config, *data, "--mirror"))
    hub.stop()
    old.execute("UPDATE simple SET votes = 99 WHERE id = 'id-0'")
    old.execute("DELETE FROM simple WHERE id = 'id-7919'")
    done = run("verify", hub.config, *data)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"simple: equal ({FEW} rows, {FEW} events)",
        "  simple mirror: id-0 1 votes null≠99",
        "  simple mirror: id-7919 2 is missing",
        f"simple mirror: 2 differences ({FEW} rows, {FEW} events)",
    ]
    rebuilt = output("rebuild", hub.config, *data, "--mirror")
    assert rebuilt == f"simple mirror: rebuilt from {FEW} events\n"
    assert "simple mirror: equal" in proved(hub)


def test_a_log_restored_from_an_older_copy_leaves_the_mirror_and_says_so(
    tmp_path: Path, hub_factory: HubFactory
) -> None:
    """It has more events by now than it lost; tests/integration has fewer, and as many."""
    later = 3
    database = Sqlite(tmp_path / "messages.db")
    hub = hub_factory(CONFIG.format(url=database.url))
    data, copy = hub.folder / "data", tmp_path / "copy"
    post(f"{hub.url}/simple", id="kept")
    hub.stop()
    shutil.copytree(data, copy)
    hub.start()
    for number in range(2):
        post(f"{hub.url}/simple", id=f"lost-{number}")
    until(lambda: len(mirrored(database)) == later)
    hub.stop()
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    hub.start()
    for number in range(later):
        post(f"{hub.url}/simple", id=f"new-{number}")
    assert len(rows(f"{hub.url}/simple")) == later + 1
    until(lambda: "later state of it" in ready(hub))
    assert ready(hub).startswith("ready\n")
    assert "eventhub rebuild FILE --mirror" in ready(hub)
    assert [row[2] for row in mirrored(database)] == ["kept", "lost-0", "lost-1"]
    hub.stop()
    output("rebuild", hub.config, "--data", data, "--mirror")
    hub.start()
    until(lambda: ready(hub) == "ready\n")
    assert mirrored(database) == served(hub)


def test_rebuild_of_mirrors_needs_one(tmp_path: Path) -> None:
    file = written(tmp_path, CONFIG.format(url="duckdb:///x.duckdb"))
    assert "there is no mirror" in refused(2, run("rebuild", file, "--mirror"))
