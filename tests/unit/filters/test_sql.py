"""Any text can be a name, a value or a needle in SQL, and DuckDB reads exactly that text."""

import duckdb
import pytest

from eventhub.filters.sql import contains_folded, expansions_of, literal, quoted, quoted_list


@pytest.mark.parametrize("text", ["plain", 'a"b', "it's", "a;b--", "select", "x\ny", "ä ß", "\\"])
def test_duckdb_reads_a_quoted_name_and_a_literal_back(text: str) -> None:
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE {quoted(text)} ({quoted(text)} VARCHAR, b VARCHAR)")
    names = quoted_list([text, "b"])
    connection.execute(f"INSERT INTO {quoted(text)} ({names}) VALUES ({literal(text)}, 'b')")
    assert connection.execute(f"SELECT {names} FROM {quoted(text)}").fetchall() == [(text, "b")]


@pytest.mark.parametrize(
    ("text", "needle"),
    [("STRASSE", "ß"), ("straße", "SS"), ("straße", "s"), ("ﬃ", "fi"), ("İ", "i"), ("a.b", ".")],
)
def test_a_search_without_case_finds_every_spelling(text: str, needle: str) -> None:
    sql, parameters = contains_folded("t", needle.casefold())
    query = f"SELECT {sql} FROM (SELECT {literal(text)} AS t)"
    assert duckdb.connect().execute(query, parameters).fetchall() == [(True,)]


def test_a_needle_is_not_a_pattern() -> None:
    sql, parameters = contains_folded("t", "a.b")
    query = f"SELECT {sql} FROM (SELECT 'axb' AS t)"
    assert duckdb.connect().execute(query, parameters).fetchall() == [(False,)]


def test_only_characters_that_may_be_part_of_a_match_are_expanded() -> None:
    assert ("ß", "ss") in expansions_of("s")
    assert expansions_of("b") == []
