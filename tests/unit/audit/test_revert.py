"""A row is restored by the one write that makes it what it was, and never by one that does not."""

from typing import Any

import pytest

from eventhub.audit.revert import Restoration, is_visible, restoration
from eventhub.errors import Conflict
from eventhub.event import Event
from eventhub.filters.conditions import EVERYTHING
from eventhub.filters.query import parse
from tests.builders import channel, make_event

OLD = {"id": "r1", "text": "old", "votes": 1}
NEW = {"id": "r1", "text": "new", "votes": 1}
MINE = parse({"text": ["old"]}, channel().columns).filter


def event(row: dict[str, Any] | None, was: dict[str, Any] | None = None) -> Event:
    return make_event(method="DELETE" if row is None else "PUT", row=row, was=was)


@pytest.mark.parametrize(
    ("target", "last", "write"),
    [
        (event(OLD), event(NEW), Restoration("PUT", OLD)),
        (event(OLD), event(None, was=NEW), Restoration("POST", OLD)),
        (event(None, was=OLD), event(NEW), Restoration("DELETE", {})),
        (None, event(NEW), Restoration("DELETE", {})),
    ],
    ids=["changed", "deleted-since", "was-deleted", "did-not-exist"],
)
def test_the_write_restores_the_version(
    target: Event | None, last: Event | None, write: Restoration
) -> None:
    assert restoration(target, last) == write


@pytest.mark.parametrize(
    ("target", "last", "says"),
    [
        (event(OLD), event(OLD), "row 'r1' is already as it was then"),
        (None, event(None, was=OLD), "the row does not exist, as it did not then"),
        (None, None, "the row does not exist, as it did not then"),
    ],
)
def test_a_row_that_is_as_it_was_is_not_written(
    target: Event | None, last: Event | None, says: str
) -> None:
    with pytest.raises(Conflict, match=says) as refusal:
        restoration(target, last)
    assert refusal.value.code == "conflict"


@pytest.mark.parametrize(
    ("made", "is_seen"),
    [
        (event(OLD), True),
        (event(NEW, was={"text": "old"}), False),
        (event(None, was=OLD), True),
        (event(None, was=NEW), False),
    ],
)
def test_a_version_is_visible_to_those_who_may_see_its_row(made: Event, is_seen: bool) -> None:
    """Of a deleted row, the row before counts: otherwise a DELETE would be seen by everybody."""
    assert is_visible(made, MINE) is is_seen
    assert is_visible(made, EVERYTHING)
