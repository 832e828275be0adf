"""The pages of a query, one after the other, are the rows of the query in their order."""

from collections.abc import Iterator

import duckdb
import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from projections import pages as module
from projections.fold import fold
from projections.history import append_history
from projections.pages import pages
from projections.tables import OWN_TABLES, Tables, create
from tests.projecting import history, query

CHAT = Channel("chat", Columns([Column("votes", Kind.INTEGER), Column("text")]))
TABLES = Tables(CHAT)
COUNT = 100
EVENTS = history(CHAT, [("POST", f"r{n}", {"votes": -n, "text": "x" * 100}) for n in range(COUNT)])


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[duckdb.DuckDBPyConnection]:
    monkeypatch.setattr(module, "BUCKET", 8)
    with duckdb.connect() as made:
        made.execute(OWN_TABLES)
        create(made, TABLES)
        append_history(made, TABLES, EVENTS)
        fold(made, TABLES, 0, COUNT)
        yield made


def read(
    connection: duckdb.DuckDBPyConnection, page_bytes: int, **args: list[str]
) -> list[list[int]]:
    """Return `votes` of each row, page by page."""
    memory_bytes = page_bytes * module.SHARES
    listed = pages(
        connection,
        TABLES,
        query(CHAT, **args),
        select="votes",
        text_bytes=100 * COUNT,
        memory_bytes=memory_bytes,
    )
    return [
        [row[0] for row in connection.execute(page.sql, page.parameters).fetchall()]
        for page in list(listed)
    ]


@pytest.mark.parametrize("page_bytes", [1, 500, 3000, 1 << 20])
def test_all_rows_are_read_once_in_order(
    connection: duckdb.DuckDBPyConnection, page_bytes: int
) -> None:
    found = read(connection, page_bytes)
    assert [votes for page in found for votes in page] == [-n for n in range(COUNT)]


def test_a_page_has_a_bounded_amount_of_text(connection: duckdb.DuckDBPyConnection) -> None:
    assert len(read(connection, 1 << 20)) == 1
    found = read(connection, 2000)
    assert len(found) > 3
    assert max(map(len, found)) <= 2000 // 100


def test_an_order_of_the_reader_is_one_page(connection: duckdb.DuckDBPyConnection) -> None:
    found = read(connection, 500, _sort=["votes"], _limit=["3"], _offset=["1"])
    assert found == [[-98, -97, -96]]


def test_a_query_without_rows_has_one_empty_page(connection: duckdb.DuckDBPyConnection) -> None:
    assert read(connection, 500, text=["nothing"]) == [[]]
