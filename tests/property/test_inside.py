"""A filter inside a JSON column gives the same answer as a predicate, in SQL and by index."""

import json
from collections.abc import Iterator
from operator import eq, ge, gt, le, lt, ne
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventhub.columns import Column, Columns, Kind
from eventhub.filters.conditions import Operator
from eventhub.filters.inside import value_at
from eventhub.filters.query import parse
from tests.examples import examples

COLUMNS = Columns([Column("data", Kind.JSON), Column("data.x", Kind.INTEGER)])
COMPARE = {"": eq, "!": ne, ">": gt, ">~": ge, "<": lt, "<~": le}
OPERATORS = ["", "!", ">", ">~", "<", "<~", "~", "!~", "*", "!*"]

# Names that have a meaning in paths, patterns or SQL of other systems; indexes of lists.
names = st.sampled_from(["a", "b", "0", "1", "01", "-", "a/b", "~", "~1", "*", '"', "$", " ", "ß'"])
EDGES = [2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, 10**400]
wholes = st.integers(-3, 3) | st.sampled_from([sign * edge for edge in EDGES for sign in (1, -1)])
reals = st.sampled_from([0.0, -0.0, 1.0, 1.5, 0.1 + 0.2, 0.3, 2.0**53, 2.0**64, 1e308, 5e-324])
numbers = wholes | reals | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text("aAßS1.é \0%_e\u0301", max_size=4) | st.sampled_from(
    ["true", "false", "null", "1", "1.0"]
)
scalars = st.none() | st.booleans() | numbers | texts
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
)
rows = st.none() | st.dictionaries(names, documents, max_size=4) | documents
keys = (
    st.lists(names, min_size=1, max_size=3)
    .map(lambda path: "data." + ".".join(path))
    .filter(lambda key: key[-1] not in "~*")  # such a name would end in an operator
)
asked = st.lists(
    texts | numbers.map(str) | st.sampled_from(["", " 1 ", "+1", "1e2", "-0", "1e999", "NaN"]),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        connection.execute('CREATE TABLE t (n INTEGER, data JSON, "data.x" BIGINT)')
        yield connection


def store(database: duckdb.DuckDBPyConnection, table: list[Any]) -> None:
    database.execute("DELETE FROM t")
    for number, document in enumerate(table):
        stored = None if document is None else json.dumps(document, ensure_ascii=False)
        database.execute("INSERT INTO t VALUES (?, ?, 7)", [number, stored])


@settings(
    max_examples=examples(300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    table=st.lists(rows, min_size=1, max_size=6),
    queries=st.lists(st.tuples(keys, st.sampled_from(OPERATORS), asked), min_size=3, max_size=8),
    data=st.data(),
)
def test_predicate_sql_and_index_agree(
    database: duckdb.DuckDBPyConnection,
    table: list[Any],
    queries: list[tuple[str, str, list[str]]],
    data: st.DataObject,
) -> None:
    store(database, table)
    leaves = [leaf for document in table for leaf in leaves_of(document, "data")]
    for key, operator, values in queries:
        is_there = data.draw(st.booleans())
        if leaves and is_there:  # filter by an existing value too
            key, value = data.draw(st.sampled_from(leaves))
            values = [*values, value]
        found = parse({key + operator: values}, COLUMNS).filter
        where, parameters = found.sql()
        by_sql = database.execute(f"SELECT n FROM t WHERE {where} ORDER BY n", parameters)
        expected = [n for n, document in enumerate(table) if found.matches({"data": document})]
        assert [n for (n,) in by_sql.fetchall()] == expected, (key, operator, values)
        for place, indexed in found.equalities.items():
            assert all(value_at({"data": table[n]}, place) in indexed for n in expected)


EDGES_OF_FLOATS = (2**53, 2**63, 2**64)
NEAR = [s * (edge + n) for edge in EDGES_OF_FLOATS for n in (-1, 0, 1, 2) for s in (1, -1)]
STORED = [*NEAR, *map(float, NEAR), 1, 1.5, -1.5, 2, 1e300, 10**300, 10**400]


@pytest.mark.parametrize("operator", COMPARE)
def test_numbers_compare_exactly(database: duckdb.DuckDBPyConnection, operator: str) -> None:
    """Numbers at which floats and integers are least able to represent their neighbours."""
    store(database, [{"n": number} for number in STORED])
    for bound in [*NEAR, 1.5, 1, -2, 1e300, 10**300]:
        found = parse({f"data.n{operator}": [str(bound)]}, COLUMNS).filter
        where, parameters = found.sql()
        by_sql = database.execute(f"SELECT n FROM t WHERE {where} ORDER BY n", parameters)
        by_predicate = [n for n, v in enumerate(STORED) if found.matches({"data": {"n": v}})]
        assert [n for (n,) in by_sql.fetchall()] == by_predicate, bound
        if abs(bound) < 2**63:  # many readers turn larger integers of JSON into floats
            small = [n for n, value in enumerate(STORED) if abs(value) < 2**63]
            assert [n for n in by_predicate if n in small] == [
                n for n in small if COMPARE[operator](STORED[n], bound)
            ]


def leaves_of(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """The key that selects each scalar, and the scalar as text."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in items:
            yield from leaves_of(inner, f"{key}.{name}")
    elif "." in key and key[-1] not in "~*" and value is not None:
        yield key, str(value).lower() if isinstance(value, bool) else str(value)


def matches(key: str, value: str, document: Any) -> bool:
    return parse({key: [value] if value else [""]}, COLUMNS).filter.matches({"data": document})


@pytest.mark.parametrize(
    ("key", "value", "here", "elsewhere"),
    [
        ("data.org", "x", {"org": "x"}, {"org": "y"}),
        ("data.org", "x", {"org": "x"}, {"x": "org"}),
        ("data.a.b", "x", {"a": {"b": "x"}}, {"a": "x", "b": "x", "a.b": "x"}),
        ("data.a.0", "x", {"a": ["x"]}, {"a": ["y", "x"]}),
        ("data.0", "x", ["x"], "x"),
        ("data.0", "x", {"0": "x"}, ["y"]),
        ("data.n", "5", {"n": 5}, {"n": 50}),
        ("data.n", "5", {"n": "5"}, {"n": [5]}),
        ("data.n", "5.0", {"n": 5}, {"n": "5"}),
        ("data.n", "9007199254740993", {"n": 2**53 + 1}, {"n": 2**53}),
        ("data.n>~", "3", {"n": 3}, {"n": "2"}),
        ("data.n>", "3", {"n": 10}, {"n": "10"}),  # as text, "10" is before "3"
        ("data.n>", "3", {"n": "4"}, {"n": True}),
        ("data.b", "true", {"b": True}, {"b": 1}),
        ("data.b", "false", {"b": False}, {"b": None}),
        ("data.b", "1", {"b": 1}, {"b": True}),
        ("data.a!", "x", {"a": "y"}, {}),
        ("data.a!", "x", {"a": 1}, {"a": "x"}),
        ("data.a!", "x", {"a": {}}, {"a": None}),
        ("data.a~", "b", {"a": "abc"}, {"a": ["b"]}),
        ("data.a!~", "b", {"a": "x"}, {"a": "abc"}),
        ("data.a*", "STRASSE", {"a": "straße"}, {"a": "strafe"}),
        ("data.a", "é", {"a": "e\u0301"}, {"a": "e"}),
        ("data.a!", "e\u0301", {"a": "e"}, {"a": "é"}),
        ("data.a~", "f\u0323e\u0301", {"a": "cafe".replace("fe", "f\u0323é")}, {"a": "cafe"}),
        ("data.a*", "É", {"a": "cafe\u0301"}, {"a": "cafe"}),
        ("data.a", "", {"a": 0}, {"a": None}),
        ("data.a", "", {"a": ""}, {"b": 1}),
        ("data.a!", "", {"a": None}, {"a": False}),
        ("data.a!", "", [], {"a": 0}),
        ("data.a", " ", {"a": " "}, {"a": "x"}),
        ("data.x.y", "1", {"x": {"y": 1}}, {"x": 7}),
    ],
)
def test_a_value_in_a_document_is_compared_by_its_own_type(
    key: str, value: str, here: Any, elsewhere: Any
) -> None:
    assert matches(key, value, here)
    assert not matches(key, value, elsewhere)
    assert not matches(key, value, None) or (key, value) == ("data.a!", "")


def test_a_column_whose_own_name_has_a_dot_comes_first() -> None:
    [condition] = parse({"data.x": ["5"]}, COLUMNS).filter.conditions
    assert (condition.column, condition.operator, condition.values) == (
        "data.x",
        Operator.EQUAL,
        frozenset([5]),
    )
