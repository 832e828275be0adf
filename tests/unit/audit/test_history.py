"""Each version of a row is an event that has the row before it."""

from typing import Any

import pytest

from eventhub.audit.history import Version, changed, differ, events_of
from eventhub.event import StoredEvent
from eventhub.methods import Method


def version(sequence: int, method: Method, row: dict[str, Any] | None) -> Version:
    return Version(
        sequence=sequence,
        time="2026-11-23T10:00:00.000000Z",
        method=method,
        user="ann",
        endpoint="chat",
        row=row,
    )


POSTED = version(1, "POST", {"id": "a", "n": 1, "text": "x"})
PUT = version(4, "PUT", {"id": "a", "n": 2, "text": "x"})
DELETED = version(9, "DELETE", None)


def before_and_after(events: list[StoredEvent]) -> list[tuple[int, Any, Any]]:
    return [(each.sequence, each.before, each.event.row) for each in events]


def test_each_event_has_the_row_of_the_version_before() -> None:
    assert before_and_after(list(events_of("a", [POSTED, PUT, DELETED]))) == [
        (1, None, POSTED.row),
        (4, POSTED.row, PUT.row),
        (9, PUT.row, None),
    ]


def test_a_page_goes_on_after_the_last_event_of_the_page_before() -> None:
    whole = list(events_of("a", [POSTED, PUT, DELETED]))
    [first] = events_of("a", [POSTED])
    rest = events_of("a", [PUT, DELETED], first)
    assert before_and_after([first, *rest]) == before_and_after(whole)


def test_an_event_names_who_did_it_where_and_when() -> None:
    [stored] = events_of("a", [POSTED])
    event = stored.event
    assert (event.method, event.id, event.user, event.endpoint) == ("POST", "a", "ann", "chat")
    assert event.time == POSTED.time


def test_a_change_has_the_old_values_of_the_columns_that_differ() -> None:
    assert PUT.row is not None
    assert POSTED.row is not None
    assert changed(POSTED.row, PUT.row) == {"n": 1}
    assert changed(PUT.row, PUT.row) == {}


@pytest.mark.parametrize(
    ("old", "new"), [(1, 1.0), (1, True), (0, False), ([1], [True]), ({"a": 1}, {"a": 1.0})]
)
def test_values_that_json_tells_apart_differ(old: object, new: object) -> None:
    assert differ(old, new)
    assert not differ(old, old)
