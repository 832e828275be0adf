"""A sender is let do what the rules say, and a row that it may not see does not exist for it."""

import pytest

from eventhub.errors import Rejected
from eventhub.event import StoredEvent
from eventhub.filters.query import parse
from eventhub.ingest.permission import UNLIMITED, ColumnAccess, Permission, Row
from eventhub.methods import METHODS, Method
from tests.builders import channel, make_event

COLUMNS = channel().columns
MINE = Permission(sees=parse({"text": ["mine"]}, COLUMNS).filter)
ROW = {"id": "a", "text": "mine", "votes": 1, "user": None, "timestamp": None}
OTHER = {**ROW, "text": "other"}


def stored(row: Row | None, was: Row | None = None) -> StoredEvent:
    method: Method = "DELETE" if row is None else "PUT"
    event = make_event(id="a", method=method, row=row and dict(row), was=was and dict(was))
    return StoredEvent(1, event)


@pytest.mark.parametrize(
    ("last", "is_seen"),
    [
        (stored(ROW), True),
        (stored(OTHER, was={"text": "mine"}), False),  # it was seen, and left
        (stored(None, was=ROW), True),
        (stored(None, was=OTHER), False),
    ],
)
def test_the_last_event_of_a_hidden_row_is_none(last: StoredEvent, is_seen: bool) -> None:
    assert (MINE.seen(last, COLUMNS) is last) is is_seen
    assert UNLIMITED.seen(last, COLUMNS) is last
    assert MINE.seen(None, COLUMNS) is None


def test_a_rule_decides_by_the_row_before_and_after_and_the_message() -> None:
    seen: list[tuple[Row | None, Row | None, Row]] = []

    def decide(before: Row | None, after: Row | None, message: Row) -> bool:
        seen.append((before, after, message))
        return False

    event = make_event(method="PUT", row=dict(OTHER), was={"text": "mine"}, message={"text": "x"})
    with pytest.raises(Rejected, match="do not let you change this row") as refusal:
        Permission(rules={"PUT": decide}).check(event, ())
    assert refusal.value.code == "forbidden"
    assert seen == [(ROW, OTHER, {"text": "x"})]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_without_a_rule_is_allowed(method: Method) -> None:
    rules = {other: lambda *_: False for other in METHODS if other != method}
    Permission(rules=rules).check(make_event(method=method), ())
    UNLIMITED.check(make_event(method=method), ())


@pytest.mark.parametrize(("method", "verb"), [("POST", "create"), ("DELETE", "delete")])
def test_a_refusal_names_what_was_not_allowed(method: Method, verb: str) -> None:
    with pytest.raises(Rejected, match=f"do not let you {verb} this row"):
        Permission(rules={method: lambda *_: False}).check(make_event(method=method), ())


def test_a_value_of_a_closed_column_is_refused_by_its_name() -> None:
    event = make_event(method="PUT", message={"text": "x", "votes": 1})
    closed = Permission(columns=ColumnAccess(closed=frozenset({"votes"})))
    closed.check(event, ("text",))  # a hook set the other
    with pytest.raises(Rejected, match="do not let you set votes") as refusal:
        closed.check(event, ("text", "votes"))
    assert (refusal.value.code, refusal.value.column) == ("forbidden", "votes")
    for answer in (True, False):
        asked = Permission(columns=ColumnAccess(decides={"votes": lambda *_, a=answer: a}))
        asked.check(event, ("text",))
        if not answer:
            with pytest.raises(Rejected, match="votes"):
                asked.check(event, ("votes",))


def test_an_error_about_an_unknown_column_says_nothing_of_it() -> None:
    names = frozenset({"votes"})
    error = Rejected("bad_value", "votes: 'secret' is not a whole number", column="votes")
    assert ColumnAccess(hidden=names).refusal(error) is error, "its sender may have set it"
    said = ColumnAccess(hidden=names, closed=names).refusal(error)
    assert said.code == "internal"
    assert "votes" not in str(said.as_dict())
