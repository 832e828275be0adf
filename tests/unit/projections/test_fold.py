"""The current table is the fold of the history, however the history is cut into sections."""

from collections.abc import Iterator

import duckdb
import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from projections.fold import fold
from projections.history import append_history
from projections.tables import OWN_TABLES, Tables, create
from tests.projecting import Change, history, rows_after

CHAT = Channel("chat", Columns([Column("votes", Kind.INTEGER)]))
TABLES = Tables(CHAT)
CHANGES: list[Change] = [
    ("POST", "a", {"votes": 1}),
    ("POST", "b", {"votes": 2}),
    ("PUT", "a", {"votes": 3}),
    ("DELETE", "b", {}),
    ("POST", "b", {"votes": 4}),
    ("DELETE", "a", {}),
]
EVENTS = history(CHAT, CHANGES)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute(OWN_TABLES)
        create(made, TABLES)
        yield made


def rows(connection: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT id, votes, _seq FROM chat ORDER BY _created_seq").fetchall()


def expected(count: int) -> list[tuple[object, ...]]:
    found = rows_after(EVENTS[:count])
    return [(row_id, row["votes"], sequence) for row_id, (sequence, _, row) in found.items()]


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_sections_of_any_size_fold_to_the_same_rows(
    connection: duckdb.DuckDBPyConnection, size: int
) -> None:
    for start in range(0, len(EVENTS), size):
        end = min(start + size, len(EVENTS))
        append_history(connection, TABLES, EVENTS[start:end])
        fold(connection, TABLES, start, end)
        assert rows(connection) == expected(end)


def test_a_section_that_is_folded_twice_changes_nothing(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    append_history(connection, TABLES, EVENTS)
    fold(connection, TABLES, 0, 6)
    fold(connection, TABLES, 2, 6)
    assert rows(connection) == expected(6)


def test_a_row_whose_delete_is_missing_is_replaced_by_its_next_post(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    append_history(connection, TABLES, EVENTS[:3])
    fold(connection, TABLES, 0, 3)
    append_history(connection, TABLES, [EVENTS[4]])
    fold(connection, TABLES, 3, 5)
    assert rows(connection) == [("a", 3, 3), ("b", 4, 5)]
