"""What a database refuses is an error with a code, in the database's words, and soon."""

import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns
from eventhub.errors import Misconfigured
from projections import mirror_engine
from projections.mirror_engine import MirrorFailed
from projections.mirror_table import MirrorTable
from tests.databases import Sqlite
from tests.postgres import Postgres
from tests.projecting import history

CHANNEL = Channel("simple", Columns([Column("body")]))
EVENTS = history(CHANNEL, [("POST", "a", {"body": "x"})])


def failure(url: str) -> MirrorFailed:
    table = MirrorTable(CHANNEL, url)
    with pytest.raises(MirrorFailed) as caught:
        table.apply("e1", table.take_up("e1", 0), EVENTS)
    table.close()
    return caught.value


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "messages.db").write_bytes(b"no database" * 100)
    error = failure(Sqlite(tmp_path / "messages.db").url)
    assert error.message.endswith("messages.db: file is not a database (failed)")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    error = failure(Sqlite(tmp_path / "nowhere" / "messages.db").url)
    assert error.message.endswith("unable to open database file (unreachable)")


def test_an_sqlite_file_that_another_program_has_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_engine, "LOCK_SECONDS", 0.1)
    database = Sqlite(tmp_path / "messages.db")
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert failure(database.url).code == "locked"


def test_a_database_that_does_not_exist(postgres: Postgres) -> None:
    error = failure(postgres.url.replace("/hub", "/nowhere"))
    assert error.code == "unreachable"
    assert 'database "nowhere" does not exist' in error.message


def test_a_user_without_rights(postgres: Postgres) -> None:
    postgres.execute("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN")
    postgres.execute("GRANT USAGE ON SCHEMA public TO guest")
    error = failure(postgres.url.replace("postgres@", "guest@"))
    assert error.message.endswith(": permission denied for schema public (failed)")


def test_a_table_that_another_program_has_locked(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_engine, "LOCK_SECONDS", 1)
    with closing(MirrorTable(CHANNEL, postgres.url)) as table:
        table.take_up("e1", 0)
    with postgres.connect() as other:
        other.execute("BEGIN; LOCK TABLE simple")
        assert failure(postgres.url).code == "locked"


def test_a_statement_that_waits_ends_when_the_hub_stops(postgres: Postgres) -> None:
    table, errors = MirrorTable(CHANNEL, postgres.url), list[MirrorFailed]()
    table.take_up("e1", 0)

    def apply() -> None:
        with pytest.raises(MirrorFailed) as caught:
            table.apply("e1", 0, EVENTS)
        errors.append(caught.value)

    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with postgres.connect() as other:
        other.execute("BEGIN; LOCK TABLE simple")
        thread = threading.Thread(target=apply)
        thread.start()
        while not postgres.fetch(waiting):
            time.sleep(0.01)
        table.interrupt()
        thread.join(5)
    assert [error.code for error in errors] == ["locked"]
    table.close()


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(Misconfigured, match=r"pip install 'eventhub\[mysql\]'"):
        MirrorTable(CHANNEL, "mysql://hub@localhost/hub")
