"""A batch becomes the same rows of the history, however large it is."""

from collections.abc import Iterator

import duckdb
import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from projections.history import (
    MAX_BYTES_AS_PARAMETERS,
    MAX_ROWS_AS_PARAMETERS,
    Rows,
    append_history,
    extent,
    newer,
)
from projections.tables import OWN_TABLES, Tables, create
from tests.projecting import history

CHAT = Channel("chat", Columns([Column("votes", Kind.INTEGER), Column("text")]))
TABLES = Tables(CHAT)
COUNT = 2 * MAX_ROWS_AS_PARAMETERS
EVENTS = history(CHAT, [("POST", f"r{n}", {"votes": n, "text": f"'{n}\"ü"}) for n in range(COUNT)])


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute(OWN_TABLES)
        create(made, TABLES)
        yield made


@pytest.mark.parametrize("size", [1, MAX_ROWS_AS_PARAMETERS, MAX_ROWS_AS_PARAMETERS + 1, COUNT])
def test_batches_of_any_size_become_the_same_rows(
    connection: duckdb.DuckDBPyConnection, size: int
) -> None:
    for start in range(0, COUNT, size):
        append_history(connection, TABLES, EVENTS[start : start + size])
    found = connection.execute("SELECT _seq, id, votes, text FROM chat_history").fetchall()
    assert found == [(n + 1, f"r{n}", n, f"'{n}\"ü") for n in range(COUNT)]


def test_large_events_become_the_same_rows(connection: duckdb.DuckDBPyConnection) -> None:
    texts = ["ü" * MAX_BYTES_AS_PARAMETERS, "", "x"]
    events = history(CHAT, [("POST", f"r{n}", {"text": text}) for n, text in enumerate(texts)])
    append_history(connection, TABLES, events)
    assert connection.execute("SELECT id, text FROM chat_history").fetchall() == [
        (f"r{n}", text) for n, text in enumerate(texts)
    ]


@pytest.mark.parametrize("count", [1, COUNT])
def test_a_value_that_does_not_fit_its_column_is_an_error(
    connection: duckdb.DuckDBPyConnection, count: int
) -> None:
    bad = history(CHAT, [("POST", f"r{n}", {"votes": "no number"}) for n in range(count)])
    with pytest.raises(duckdb.ConversionException):
        append_history(connection, TABLES, bad)


def test_rows_of_another_history_become_the_same_rows(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    append_history(connection, TABLES, EVENTS)
    everything = "SELECT * FROM chat_history ORDER BY _seq"
    before = connection.execute(everything).fetchall()
    rows = Rows(connection.sql(everything).to_arrow_table())
    assert extent(rows)[0] == COUNT
    assert extent(rows)[1] >= sum(len(str(event.event.row)) for event in EVENTS)
    connection.execute("DELETE FROM chat_history WHERE _seq > 30")
    append_history(connection, TABLES, newer(rows, 30))
    assert connection.execute(everything).fetchall() == before
    assert extent(newer(rows, COUNT)) == (0, 0)
