"""The URL of a query asks a hub for exactly these rows."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub_client.query import Query, SortKey, checked_base, url_of

BASE = "http://hub.example:8080/prefix"


def arguments(where: dict[str, Any]) -> list[tuple[str, str]]:
    return list(Query.of(where).conditions())


def test_a_condition_is_a_column_with_its_operator_and_one_or_several_values() -> None:
    assert arguments({"topic": ["a", "b"], "points>~": 3, "done": False, "user": None}) == [
        ("topic", "a"),
        ("topic", "b"),
        ("points>~", "3"),
        ("done", "false"),
        ("user!", ""),
    ]
    assert arguments({"due<": datetime(2026, 11, 30, tzinfo=UTC)}) == [
        ("due<", "2026-11-30T00:00:00+00:00")
    ]


@pytest.mark.parametrize("given", ["", [], ["a", ""], [None]])
def test_a_condition_that_would_widen_the_answer_is_an_error(given: Any) -> None:
    with pytest.raises(ValueError, match="where: topic: expected a value that is not empty"):
        Query.of({"topic": given})


def test_a_control_is_no_condition() -> None:
    with pytest.raises(ValueError, match="where: _limit: expected the name of a column"):
        Query.of({"_limit": 3})


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.tuples(TEXTS, TEXTS)))
def test_every_text_reaches_the_hub_as_it_is(pairs: list[tuple[str, str]]) -> None:
    query = url_of(BASE, "messages", *pairs).partition("?")[2]
    assert parse_qsl(query, keep_blank_values=True) == pairs


def test_a_path_is_relative_to_the_hub_and_keeps_its_own_arguments() -> None:
    assert url_of(BASE, "/notes?topic=a", ("n", "1")) == f"{BASE}/notes?topic=a&n=1"
    assert url_of(BASE, "notes/a b") == f"{BASE}/notes/a%20b"
    assert url_of(BASE, "notes/a%2Fb") == f"{BASE}/notes/a%2Fb"


def test_the_order_and_the_columns_are_arguments_of_a_get() -> None:
    query = Query.of(columns="n", sort=["-n", "name*"], limit=5)
    assert list(query.shape()) == [
        ("_c", "n"),
        ("_sort", "-n"),
        ("_sort", "name*"),
        ("_limit", "5"),
    ]
    assert query.sort_keys == (SortKey("n", True, False), SortKey("name", False, True))


@pytest.mark.parametrize("url", ["hub:8080", "ftp://hub", "http://", "http://hub/?a=1", ""])
def test_a_hub_needs_a_url(url: str) -> None:
    with pytest.raises(ValueError, match="expected the URL of a hub"):
        checked_base(url)
    assert checked_base("https://hub/prefix/") == "https://hub/prefix"
