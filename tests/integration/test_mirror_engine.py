"""What a database refuses is an error with a code, in the database's words, and soon."""

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
from tests.database_server import DatabaseServer
from tests.databases import Sqlite
from tests.mariadb import MariaDB
from tests.mirroring import locked
from tests.postgres import Postgres
from tests.projecting import history

CHANNEL = Channel("simple", Columns([Column("body")]))
EVENTS = history(CHANNEL, [("POST", "a", {"body": "x"})])


@pytest.fixture(params=["postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    """An empty database of each kind of server."""
    found: DatabaseServer = request.getfixturevalue(request.param)
    return found


def failure(url: str) -> MirrorFailed:
    table = MirrorTable(CHANNEL, url)
    with pytest.raises(MirrorFailed) as caught:
        table.apply("e1", table.take_up("e1"), EVENTS)
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
    with locked(database):
        assert failure(database.url).code == "locked"


def test_a_database_that_does_not_exist(server: DatabaseServer) -> None:
    error = failure(server.url.replace("/hub", "/nowhere"))
    assert error.code == "unreachable"
    assert "nowhere" in error.message


def test_a_server_that_does_not_run(server: DatabaseServer) -> None:
    error = failure(server.url.replace(f":{server.port}", ":1"))
    assert error.code == "unreachable"
    assert "refused" in error.message


def test_a_user_of_postgresql_without_rights(postgres: Postgres) -> None:
    postgres.execute("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN")
    postgres.execute("GRANT USAGE ON SCHEMA public TO guest")
    error = failure(postgres.url.replace("postgres@", "guest@"))
    assert error.message.endswith(": permission denied for schema public (failed)")


def test_a_user_of_mariadb_without_rights(mariadb: MariaDB) -> None:
    mariadb.execute("CREATE OR REPLACE USER guest; GRANT SELECT ON hub.* TO guest")
    error = failure(mariadb.url.replace("root@", "guest@"))
    assert "CREATE command denied to user 'guest'" in error.message
    assert error.code == "failed"


def test_a_row_that_a_trigger_of_mariadb_refuses(mariadb: MariaDB) -> None:
    with closing(MirrorTable(CHANNEL, mariadb.url)) as table:
        table.take_up("e1")
    signal = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not on Mondays'"
    mariadb.execute(f"CREATE TRIGGER mondays BEFORE INSERT ON simple FOR EACH ROW {signal}")
    error = failure(mariadb.url)
    assert (error.code, "not on Mondays" in error.message) == ("refused", True)


WAITING = {
    "PostgreSQL": "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    "MariaDB": "SELECT 1 FROM information_schema.processlist WHERE state LIKE 'Waiting%lock'",
}


def test_a_table_that_another_program_has_locked(
    server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_engine, "LOCK_SECONDS", 1)
    with closing(MirrorTable(CHANNEL, server.url)) as table:
        table.take_up("e1")
    with locked(server):
        assert failure(server.url).code == "locked"


def test_a_statement_that_waits_ends_when_the_hub_stops(server: DatabaseServer) -> None:
    table, errors = MirrorTable(CHANNEL, server.url), list[MirrorFailed]()
    table.take_up("e1")

    def apply() -> None:
        with pytest.raises(MirrorFailed) as caught:
            table.apply("e1", 0, EVENTS)
        errors.append(caught.value)

    with locked(server):
        thread = threading.Thread(target=apply)
        thread.start()
        while not server.fetch(WAITING[server.name]):
            time.sleep(0.01)
        table.interrupt()
        thread.join(5)
    assert [error.code for error in errors] == [
        "locked" if server.name == "PostgreSQL" else "unreachable"
    ]
    table.close()


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(Misconfigured, match=r"pip install 'eventhub\[mysql\]'"):
        MirrorTable(CHANNEL, "mysql://hub@localhost/hub")
