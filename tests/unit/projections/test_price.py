"""A query is priced by what it searches, and refused by its real cost, with advice."""

from collections.abc import Iterator

import duckdb
import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Rejected
from eventhub.filters.query import Query
from projections.history import append_history
from projections.price import (
    QUICK_ROWS,
    Size,
    check_price,
    exact_size,
    has_more,
    price_of,
    rough_size,
)
from projections.tables import OWN_TABLES, Tables, create
from tests.projecting import history, query

CHAT = Channel("chat", Columns([Column("text"), Column("votes", Kind.INTEGER)]))
TABLES = Tables(CHAT)
LARGE = Size(10_000_000, {"text": 2e9, "id": 1e8})


def asked(**args: list[str]) -> Query:
    return query(CHAT, **args)


def seconds(key: str = "", *values: str, size: Size = LARGE) -> float:
    args = {key: list(values)} if key else {}
    return price_of(asked(**args), size).seconds


def test_a_search_of_text_costs_more_than_a_comparison_and_less_than_one_without_case() -> None:
    comparison, search = seconds("votes>", "1"), seconds("text~", "a")
    assert seconds() < comparison < search < seconds("text*", "a")
    assert seconds("text*", "b") < seconds("text*", "ss")


def test_the_price_grows_with_the_table_and_with_the_values() -> None:
    small = Size(1000, {"text": 2e5})
    assert seconds("text~", "a", size=small) < seconds("text~", "a") / 1000
    assert seconds("text~", "a") < seconds("text~", "a", "b")


def test_few_rows_are_small_only_if_they_have_little_text() -> None:
    few = asked(_limit=["10"])
    assert price_of(few, LARGE).is_small
    assert not price_of(few, Size(100, {"text": 1e9})).is_small
    assert not price_of(asked(_limit=[str(QUICK_ROWS + 1)]), LARGE).is_small


def test_a_refusal_names_the_most_expensive_condition() -> None:
    check_price(asked(**{"votes>": ["1"]}), LARGE)
    with pytest.raises(Rejected, match=r"10000000 rows .* most of it for text\*=") as caught:
        check_price(asked(**{"text*": ["a", "b", "ss"], "votes>": ["1"]}), LARGE)
    assert (caught.value.code, caught.value.column) == ("too_costly", "text")


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute(OWN_TABLES)
        create(made, TABLES)
        yield made


def test_sizes_are_those_of_the_rows(connection: duckdb.DuckDBPyConnection) -> None:
    events = history(CHAT, [("POST", f"r{n}", {"text": "x" * 100, "votes": n}) for n in range(50)])
    append_history(connection, TABLES, events)
    connection.execute(
        "INSERT INTO chat BY NAME SELECT * EXCLUDE (_method, _user, _endpoint) FROM chat_history"
    )
    assert rough_size(connection, TABLES).rows == 50
    assert exact_size(connection, TABLES, asked(**{"text~": ["x"]})) == Size(50, {"text": 5000})
    assert rough_size(connection, TABLES).text_bytes["text"] >= 5000
    assert has_more(connection, TABLES, asked(), 49)
    assert not has_more(connection, TABLES, asked(), 50)
    assert not has_more(connection, TABLES, asked(**{"votes<": ["10"]}), 10)
