"""DuckDB and Python agree on the canonical form of every text, by every way to ask for it."""

import sys
from collections.abc import Iterator
from unicodedata import category, combining, normalize

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventhub.columns.canonical import canonical
from eventhub.filters.sql import canonical_sql

CHARACTERS = [
    chr(code)
    for code in range(1, sys.maxunicode + 1)
    if category(chr(code)) not in ("Cs", "Cn")  # a later version of Unicode may assign the others
]
MARKS = [character for character in CHARACTERS if combining(character)]
COMPOSED = [character for character in CHARACTERS if normalize("NFD", character) != character]
texts = st.text(
    st.sampled_from(MARKS)
    | st.sampled_from(COMPOSED)
    | st.sampled_from([part for character in COMPOSED for part in normalize("NFD", character)])
    | st.sampled_from("aAe;K`\0 "),
    max_size=8,
)


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        yield connection


def by_sql(database: duckdb.DuckDBPyConnection, given: list[str]) -> list[str]:
    statement = f"SELECT {canonical_sql('text')} FROM (SELECT unnest(?) AS text)"
    return [text for (text,) in database.execute(statement, [given]).fetchall()]


def test_every_character_and_its_parts_have_one_form(database: duckdb.DuckDBPyConnection) -> None:
    parts = [normalize("NFD", character) for character in CHARACTERS]
    expected = [canonical(character) for character in CHARACTERS]
    assert by_sql(database, CHARACTERS) == by_sql(database, parts) == expected


def test_every_mark_takes_its_place(database: duckdb.DuckDBPyConnection) -> None:
    others = ["\u0301", "\u0316", "\u0334", "\u3099", "\u05b0"]
    given = [
        f"a{one}{other}" for mark in MARKS for o in others for one, other in ((mark, o), (o, mark))
    ]
    assert by_sql(database, given) == [canonical(text) for text in given]


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(given=st.lists(texts, min_size=20, max_size=50))
def test_any_text_has_the_same_form_in_both(
    database: duckdb.DuckDBPyConnection, given: list[str]
) -> None:
    assert by_sql(database, given) == [canonical(text) for text in given]
