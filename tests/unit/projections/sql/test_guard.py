"""The guard takes a single SELECT with its parameters, whatever it is spelled like."""

from collections.abc import Iterator

import duckdb
import pytest

from eventhub.errors import Rejected
from projections.sql.guard import MAX_LENGTH, check, parse

MACROS = frozenset(["chat_as_of"])


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1;",
        "-- only a remark\nFROM chat",
        "FROM Chat_As_Of(5)",
        "SELECT 'DROP TABLE chat; read_text'",
        'SELECT "read_text" FROM chat',
        "FROM range(3) UNION ALL FROM generate_series(1, 2)",
    ],
)
def test_a_select_passes(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    check(connection, parse(connection, sql), {}, MACROS)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("FROM READ_TEXT('x')", "read_text"),
        ("FROM main.read_text('x')", "read_text"),
        ("FROM \"read_text\"('x')", "read_text"),
        ("SELECT Current_Setting('x')", "current_setting"),
        ("FROM other_as_of(5)", "other_as_of"),
        ("WITH x AS (DELETE FROM chat RETURNING 1) FROM x", "not DELETE"),
        ("", "got 0"),
        ("-- nothing", "got 0"),
        ("SELECT '" + "x" * MAX_LENGTH, "at most"),
        ("SELECT " + "[" * 600 + "]" * 600, "nested too deeply"),
    ],
)
def test_anything_else_is_refused(
    connection: duckdb.DuckDBPyConnection, sql: str, words: str
) -> None:
    with pytest.raises(Rejected, match=words) as caught:
        check(connection, parse(connection, sql), {}, MACROS)
    assert caught.value.code == "bad_sql"


@pytest.mark.parametrize(
    ("given", "column"), [({}, "a"), ({"a": 1}, "b"), ({"a": 1, "b": 2, "c": 3}, "c")]
)
def test_a_parameter_that_is_missing_or_left_over_is_named(
    connection: duckdb.DuckDBPyConnection, given: dict[str, int], column: str
) -> None:
    check(connection, parse(connection, "SELECT $a + $b"), {"a": 1, "b": 2})
    with pytest.raises(Rejected) as caught:
        check(connection, parse(connection, "SELECT $a + $b"), given)
    assert (caught.value.code, caught.value.column) == ("bad_request", column)
