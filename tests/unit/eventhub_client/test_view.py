"""Rows as they are shown: in the order and number of a GET, replaced at once."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eventhub_client.query import Query
from eventhub_client.subscription import RESET, Change, Passed
from eventhub_client.view import View

LIVE = Passed("e.1", is_live=True)


def changed(method: str, row_id: str, seq: int = 1, **row: Any) -> Change:
    return Change(method, row_id, {"id": row_id, **row}, seq)


def view_of(query: Query, *changes: Change) -> View:
    view = View(query)
    for each in (RESET, *changes):
        view.apply(each)
    view.apply(LIVE)
    return view


def test_nothing_is_shown_before_all_rows_are_there() -> None:
    view = View(Query.of())
    assert not view.apply(RESET)
    assert not view.apply(changed("POST", "a"))
    assert not view.shown()
    assert view.apply(LIVE)
    assert list(view.shown()) == ["a"]


def test_rows_that_come_again_replace_the_others_at_once() -> None:
    view = view_of(Query.of(), changed("POST", "a", n=1), changed("POST", "b", n=1))
    view.apply(RESET)
    view.apply(changed("POST", "b", n=2))
    assert list(view.shown()) == ["a", "b"]
    assert view.apply(LIVE)
    assert dict(view.shown()) == {"b": {"id": "b", "n": 2, "_seq": 1}}


def test_rows_that_come_again_unchanged_are_no_change() -> None:
    view = view_of(Query.of(), changed("POST", "a", n=1))
    view.apply(RESET)
    view.apply(changed("POST", "a", n=1))
    assert not view.apply(LIVE)


def test_a_change_names_some_columns_and_a_row_has_all() -> None:
    view = view_of(Query.of(), changed("POST", "a", topic=None, n=1))
    view.apply(changed("POST", "b", 2, topic="x"))
    view.apply(changed("PUT", "a", 3, n=5))
    assert list(view.shown().values()) == [
        {"id": "a", "topic": None, "n": 5, "_seq": 3},
        {"id": "b", "topic": "x", "n": None, "_seq": 2},
    ]
    view.apply(changed("DELETE", "a", 4))
    view.apply(changed("PUT", "nope", 5, n=1))
    assert list(view.shown()) == ["b"]


def test_a_row_that_enters_the_filter_comes_where_its_time_says() -> None:
    times = {"a": "2026-01-01", "c": "2026-01-03"}
    view = view_of(Query.of(), *(changed("POST", key, timestamp=at) for key, at in times.items()))
    view.apply(changed("POST", "b", 9, timestamp="2026-01-02"))
    view.apply(changed("POST", "d", 10, timestamp="2026-01-04"))
    assert list(view.shown()) == ["a", "b", "c", "d"]


def test_a_limit_cuts_what_is_shown_and_the_next_row_takes_a_free_place() -> None:
    rows = [changed("POST", str(n), n=n) for n in range(4)]
    view = view_of(Query.of(sort="-n", limit=2), *rows)
    assert list(view.shown()) == ["3", "2"]
    view.apply(changed("DELETE", "3"))
    assert list(view.shown()) == ["2", "1"]


def test_what_was_shown_does_not_change() -> None:
    view = view_of(Query.of(), changed("POST", "a", n=1))
    before = view.shown()
    view.apply(changed("PUT", "a", 2, n=2))
    assert before["a"]["n"] == 1
    assert view.shown() is view.shown()


VALUES = st.none() | st.integers(-9, 9)


@given(st.lists(st.tuples(VALUES, st.none() | st.sampled_from(["a", "B", "c", "é", "Z"]))))
def test_rows_are_sorted_by_each_key_and_then_by_creation(
    values: list[tuple[int | None, str | None]],
) -> None:
    rows = [changed("POST", str(at), n=n, name=name) for at, (n, name) in enumerate(values)]
    shown = view_of(Query.of(sort=["-n", "name*"]), *rows).shown()

    def rank(row_id: str) -> tuple[Any, ...]:
        n, name = values[int(row_id)]
        return (n is None, -(n or 0), name is not None, (name or "").casefold(), int(row_id))

    assert list(shown) == sorted(shown, key=rank)
    assert len(shown) == len(values)
