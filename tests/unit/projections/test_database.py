"""DuckDB is opened with limits that no query can lift, and transactions are whole or nothing."""

from pathlib import Path

import duckdb
import pytest

from projections import database as module
from projections.database import open_database, transaction


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    connection, _ = open_database(tmp_path / "p")
    connection.execute("CREATE TABLE t (a INTEGER)")
    with transaction(connection):
        connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(duckdb.ConversionException), transaction(connection):
        connection.executemany("INSERT INTO t VALUES (?)", [["2"], ["no number"]])
    assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]
    with transaction(connection):
        connection.execute("INSERT INTO t VALUES (3)")
    assert connection.execute("SELECT a FROM t").fetchall() == [(1,), (3,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SET memory_limit = '1TB'",
        "SET lock_configuration = false",
        "SET enable_external_access = true",
        "ATTACH 'other'",
    ],
)
def test_no_query_changes_a_limit(tmp_path: Path, sql: str) -> None:
    connection, _ = open_database(tmp_path / "p")
    with pytest.raises(duckdb.Error):
        connection.execute(sql)


def test_memory_is_the_lower_of_both_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEMORY_BYTES", 64 << 20)
    connection, memory_bytes = open_database(tmp_path / "p")
    limit = "SELECT parse_formatted_bytes(current_setting('memory_limit'))"
    assert memory_bytes == 64 << 20
    assert connection.execute(limit).fetchall() == [(64 << 20,)]
