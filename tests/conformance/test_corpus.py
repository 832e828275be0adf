"""A query string selects the rows that the corpus lists, by predicate and by SQL."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from eventhub.columns import Column, Columns, kind_of
from eventhub.errors import Rejected
from eventhub.filters.arguments import parse_query_string
from eventhub.filters.query import Query, parse

CORPUS = json.loads((Path(__file__).parent / "corpus.json").read_text(encoding="utf-8"))
COLUMNS = Columns(
    Column(name, kind_of(declared if isinstance(declared, str) else declared["type"]))
    for name, declared in CORPUS["schema"]["columns"].items()
)
ROWS = [COLUMNS.convert(row) for row in CORPUS["rows_in_insertion_order"]]
ANSWERED = [vector for vector in CORPUS["vectors"] if "error" not in vector["expect"]]
REFUSED = [vector for vector in CORPUS["vectors"] if "error" in vector["expect"]]


def name_of(vector: dict[str, Any]) -> str:
    return f"{vector['n']}-{vector['tag']}"


def query_of(vector: dict[str, Any]) -> Query:
    return parse(parse_query_string(vector["qs"]), COLUMNS)


@pytest.fixture(scope="module")
def table() -> Iterator[duckdb.DuckDBPyConnection]:
    declared = [f'"{column.name}" {column.kind.value}' for column in COLUMNS]
    marks = ", ".join("?" * (len(declared) + 2))
    with duckdb.connect() as connection:
        connection.execute(
            f"CREATE TABLE corpus ({', '.join(declared)}, _created_seq UBIGINT, _seq UBIGINT)"
        )
        for sequence, row in enumerate(ROWS, 1):
            values = [row[name] for name in COLUMNS.names]
            connection.execute(f"INSERT INTO corpus VALUES ({marks})", [*values, sequence, 99])
        yield connection


def sorted_rows(rows: list[dict[str, Any]], query: Query) -> list[dict[str, Any]]:
    """Sort by the least significant column first: Python's sort is stable, in reverse too."""
    for name, descending in reversed(query.sort):
        rows = sorted(rows, key=lambda row: (row[name] is not None, row[name]), reverse=descending)
    return rows


def test_the_corpus_is_complete() -> None:
    assert (len(ANSWERED) + len(REFUSED), len(ROWS)) == (264, 60)


@pytest.mark.parametrize("vector", ANSWERED, ids=name_of)
def test_predicate_finds_the_rows_of_the_corpus(vector: dict[str, Any]) -> None:
    query = query_of(vector)
    rows = sorted_rows([row for row in ROWS if query.filter.matches(row)], query)
    rows = rows[query.offset :][: query.limit]
    assert [row["id"] for row in rows] == vector["expect"]["ids"]
    assert list(query.columns) == vector["expect"].get("columns", list(COLUMNS.names))


@pytest.mark.parametrize("vector", ANSWERED, ids=name_of)
def test_sql_finds_the_rows_of_the_corpus(
    vector: dict[str, Any], table: duckdb.DuckDBPyConnection
) -> None:
    query = query_of(vector)
    where, parameters = query.filter.sql()
    columns = ", ".join(f'"{name}"' for name in query.columns)
    found = table.execute(
        f"SELECT id AS row_id, {columns} FROM corpus WHERE {where}"
        f" ORDER BY {query.order_by()} LIMIT ? OFFSET ?",
        [*parameters, query.limit, query.offset],
    )
    names = [described[0] for described in found.description]
    assert [row_id for row_id, *_ in found.fetchall()] == vector["expect"]["ids"]
    assert names[1:] == vector["expect"].get("columns", list(COLUMNS.names))


@pytest.mark.parametrize("vector", REFUSED, ids=name_of)
def test_a_filter_that_is_not_understood_is_refused_with_its_column(vector: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as caught:
        query_of(vector)
    assert (caught.value.code, caught.value.column) == ("bad_filter", vector["expect"]["error"])
