"""What the hub refuses or cuts off comes to the client of Flight, and costs it nothing."""

import re
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pyarrow as pa
import pytest
from adbc_driver_flightsql import ConnectionOptions
from adbc_driver_manager import Error

from tests.e2e.attacks import FILES, OTHERS, PROCESS, WRITES
from tests.e2e.flight import ENDLESS, MILLION, connect, flight_pid, hub_pid, refused, rows
from tests.e2e.hub import Hub


def test_a_million_rows_are_streamed_and_cost_no_memory(hub: Hub) -> None:
    with connect(hub) as connection, connection.cursor() as cursor:
        rows(connection, "SELECT 1")
        pids = [hub_pid(hub), flight_pid(hub)]
        before = [peak_of(pid) for pid in pids]
        cursor.execute(MILLION)
        assert sum(len(batch) for batch in cursor.fetch_record_batch()) == 1_000_000
        grown = [peak_of(pid) - peak for pid, peak in zip(pids, before, strict=True)]
        assert max(grown) < 24 << 20  # of 30 MB
        text = refused(connection, "FROM range(1000001)")
        assert "bad_request: the answer has more than 1000000 rows" in text


def peak_of(pid: int) -> int:
    """Return the most bytes of memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10


def test_a_cancelled_query_ends_and_frees_its_slot(hub: Hub) -> None:
    with connect(hub) as connection:
        for _ in range(3):
            with connection.cursor() as cursor:
                cancel = threading.Timer(0.3, cursor.adbc_cancel)
                cancel.start()
                with pytest.raises(Error, match=r"(?i)cancel"):
                    cursor.execute(ENDLESS)
                cancel.join()
        before = time.monotonic()
        assert rows(connection, "SELECT 1") == [(1,)]
        assert time.monotonic() - before < 3  # three deadlines would be twelve seconds


def test_a_reader_that_leaves_amid_its_rows_ends_its_call(hub: Hub) -> None:
    for _ in range(70):  # more than there may be at once
        with connect(hub) as connection, connection.cursor() as cursor:
            cursor.execute("FROM range(300000)")
            reader = cursor.fetch_record_batch()
            assert len(reader.read_next_batch()) > 0
    with connect(hub) as connection:
        assert rows(connection, "SELECT 1") == [(1,)]


def test_a_query_ends_at_the_deadline_of_the_hub_or_of_its_client(hub: Hub) -> None:
    with connect(hub) as connection:
        text = refused(connection, ENDLESS)
        assert "too_costly: the query took more than 4 s" in text
    short = {
        ConnectionOptions.TIMEOUT_FETCH.value: "0.5",
        ConnectionOptions.TIMEOUT_QUERY.value: "0.5",
    }
    before = time.monotonic()
    with connect(hub) as connection, connection.cursor(adbc_stmt_kwargs=short) as cursor:
        cursor.adbc_statement.set_sql_query(ENDLESS)
        with pytest.raises(Error, match=r"(?i)deadline"):
            cursor.adbc_statement.execute_query()
    assert time.monotonic() - before < 3


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT FROM", "bad_sql: Parser Error"),
        ("FROM nope", "bad_sql: Catalog Error: Table with name nope does not exist"),
        ("FROM secret", "secret does not exist"),
        ("SELECT 1; SELECT 2", "expected one statement"),
        ("SELECT error('x')", "bad_sql: Invalid Input Error: x"),
        ("FROM (SELECT 1) LIMIT 0) UNION (SELECT 2", "bad_sql: Parser Error"),
    ],
)
def test_a_mistake_is_an_error_with_the_code_of_the_hub(hub: Hub, sql: str, words: str) -> None:
    with connect(hub) as connection:
        assert words in refused(connection, sql)
        assert "INVALID_ARGUMENT" in refused(connection, sql)


def test_nothing_is_written_and_no_attack_gets_further_than_by_http(hub: Hub) -> None:
    with connect(hub) as connection:
        with connection.cursor() as cursor:
            with pytest.raises(Error, match="this hub only answers queries"):
                cursor.adbc_ingest("new", pa.table({"a": [1]}))
            with pytest.raises(Error, match="only SELECT is possible, not INSERT"):
                cursor.executemany("INSERT INTO notes (id) VALUES (?)", [("x",)])
        for attack in [*WRITES, *FILES, *OTHERS, *PROCESS]:
            statement = attack.replace("{folder}", str(hub.folder)).replace("chat", "notes")
            text = refused(connection, statement)
            assert "bad_sql: " in text or "sql is missing" in text, statement
        assert len(rows(connection, "FROM notes")) == 2


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT " + "(" * 40_000 + "1" + ")" * 40_000, "bad_sql"),
        ("SELECT " + "1+" * 40_000 + "1", "bad_sql"),
        ("SELECT 1" + " " * 100_000, "at most 100000 characters"),
        ("SELECT 1 --" + "x" * (2 << 20), "too_large"),
    ],
)
def test_a_statement_of_any_size_or_depth_is_refused(hub: Hub, sql: str, words: str) -> None:
    pid = flight_pid(hub)
    with connect(hub) as connection:
        assert words in refused(connection, sql)
    assert flight_pid(hub) == pid


def test_queries_are_counted_as_those_by_http(hub: Hub) -> None:
    with connect(hub) as connection:
        before = answered(hub)
        rows(connection, "SELECT 1")
        assert answered(hub) > before


def answered(hub: Hub) -> float:
    with urllib.request.urlopen(f"{hub.url}/metrics") as answer:
        text = answer.read().decode()
    found = re.search(r'eventhub_queries_total\{handler="ask",outcome="answered"\} (\S+)', text)
    assert found is not None
    return float(found[1])
