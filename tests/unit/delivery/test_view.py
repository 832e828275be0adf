"""What a client gets follows from whether the row matched before, and whether it does after."""

from typing import Any

import msgspec
import pytest

from eventhub.delivery.frames import Form
from eventhub.delivery.view import Change, View, change_for, change_of, frame_of, record_of
from eventhub.event import StoredEvent
from eventhub.filters.query import parse
from tests.builders import channel
from tests.subscribing import Frame, history

CHANNEL = channel()
POST_A: Frame = {"_method": "POST", "id": "1", "text": "a", "extra": [1]}
POST_B: Frame = {**POST_A, "text": "b"}
TO_A: Frame = {"_method": "PUT", "id": "1", "text": "a"}
TO_B: Frame = {**TO_A, "text": "b"}
VOTE: Frame = {"_method": "PUT", "id": "1", "votes": "7", "extra": [2]}
DELETE: Frame = {"_method": "DELETE", "id": "1"}
WHOLE: Frame = {"text": "a", "votes": None, "id": "1", "user": None, "timestamp": None}


def last_of(*messages: Frame) -> StoredEvent:
    events = history(messages, CHANNEL)
    assert len(events) == len(messages)
    return events[-1]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        # neither before nor after
        ([POST_B], None),
        ([POST_B, VOTE], None),
        ([POST_B, DELETE], None),
        # not before, but after
        ([POST_A], POST_A),
        ([POST_B, TO_A], {"_method": "POST", **WHOLE}),
        ([POST_B, DELETE, POST_A], POST_A),
        ([POST_A, DELETE, POST_A], POST_A),
        # before and after
        ([POST_A, VOTE], {**VOTE, "votes": 7}),
        ([POST_A, TO_A], TO_A),
        # before, but not after
        ([POST_A, DELETE], DELETE),
        ([POST_A, TO_B], DELETE),
        ([POST_A, DELETE, POST_B], None),
    ],
)
def test_a_filter_decides_on_the_row_before_and_after(
    messages: list[Frame], expected: Frame | None
) -> None:
    stored, query = last_of(*messages), parse({"text": ["a"]}, CHANNEL.columns)
    change = change_of(stored, query.filter)
    is_shown = change is not Change.NOTHING
    assert record_of(stored, query.filter) is (Change.RECORD if is_shown else Change.NOTHING)
    found = frame_of(change, stored, query, sequenced=False) if is_shown else None
    assert found == expected
    if found is not None:
        sequenced = frame_of(change, stored, query, sequenced=True)
        assert [*sequenced.items()][:2] == [("_method", found["_method"]), ("_seq", len(messages))]
        assert {**sequenced, "_seq": None} == {**found, "_seq": None}


def test_keys_are_sent_in_the_order_of_the_message() -> None:
    stored, query = last_of(POST_A), parse({}, CHANNEL.columns)
    assert [*frame_of(Change.MESSAGE, stored, query, sequenced=False)] == [*POST_A]


@pytest.mark.parametrize(
    ("picks", "expected"),
    [
        (["votes", "text"], {"_method": "PUT", "_seq": 2, "id": "1", "votes": 7}),
        (["-votes"], {"_method": "PUT", "_seq": 2, "id": "1", "extra": [2]}),
        (["-votes", "-extra", "-id"], {"_method": "PUT", "_seq": 2, "id": "1"}),
        (["text"], {"_method": "PUT", "_seq": 2, "id": "1"}),
    ],
)
def test_picked_columns_of_a_message(picks: list[str], expected: Frame) -> None:
    query = parse({"text": ["a"], "_c": picks}, CHANNEL.columns, "ignore")
    stored = last_of(POST_A, VOTE)
    change = change_of(stored, query.filter)
    assert frame_of(change, stored, query, sequenced=True) == expected


@pytest.mark.parametrize(
    ("messages", "created"),
    [
        ([POST_A], None),
        ([{**POST_A, "text": "b"}, TO_A], 1),
        ([POST_A, DELETE, POST_A], None),
        ([POST_A, VOTE], None),
        ([POST_A, DELETE], None),
    ],
)
def test_a_row_that_enters_the_filter_says_when_it_was_created(
    messages: list[Frame], created: int | None
) -> None:
    """Its place is among older rows; that of a new row is the event's."""
    stored = last_of(*messages)
    view = View(
        Form.V2, parse({"text": ["a"], "_c": ["text"]}, CHANNEL.columns), history=False, epoch="e"
    )
    payload = view.payload(stored, {})
    assert payload is not None
    assert msgspec.json.decode(payload[0]).get("_created") == created


@pytest.mark.parametrize(
    ("messages", "row", "was"),
    [
        ([POST_A], {"text": "a", "votes": None}, None),
        ([POST_A, VOTE], {"text": "a", "votes": 7}, {"votes": None}),
        ([POST_A, TO_A], {"text": "a", "votes": None}, {}),
        ([POST_A, DELETE], None, {"text": "a", "votes": None}),
    ],
)
def test_a_record_of_history_has_the_row_and_what_it_was(
    messages: list[Frame], row: Any, was: Any
) -> None:
    stored = last_of(*messages)
    query = parse({"_c": ["text", "votes"]}, CHANNEL.columns)
    change = record_of(stored, query.filter)
    assert frame_of(change, stored, query, sequenced=False) == {
        "_seq": len(messages),
        "_time": "2026-11-23T10:00:00.000000Z",
        "_method": messages[-1]["_method"],
        "id": "1",
        "_user": None,
        "row": row,
        "was": was,
    }


HIDDEN = frozenset({"votes"})


@pytest.mark.parametrize(
    ("put", "live", "recorded"),
    [
        ({"votes": 7}, False, False),
        ({"votes": 1}, False, False),
        ({}, False, False),
        ({"votes": 7, "text": "b"}, True, True),
        ({"votes": 7, "text": "a"}, True, False),
        ({"votes": 7, "typing": True}, True, False),
    ],
)
def test_a_put_with_nothing_for_the_reader_is_silent(
    put: Frame, live: bool, recorded: bool
) -> None:
    """The same, whether or not it changed a hidden column: so it cannot be told."""
    first = {**POST_A, "votes": 1}
    stored = last_of(first, {"_method": "PUT", "id": "1", **put})
    query = parse({}, CHANNEL.columns.without(HIDDEN)).hiding(HIDDEN)
    for is_history, is_shown in ((False, live), (True, recorded)):
        change = change_for(stored, query, history=is_history)
        assert (change is not Change.NOTHING) is is_shown
        if is_shown:
            assert "votes" not in str(frame_of(change, stored, query, sequenced=True))
    assert View(Form.V1, query, history=False, epoch="e").concerns(stored), "its _seq is another"
    whole = parse({}, CHANNEL.columns)
    assert change_for(stored, whole, history=False) is Change.MESSAGE


def test_who_wrote_is_hidden_with_the_column_user() -> None:
    stored, names = last_of(POST_A), frozenset({"user"})
    stored = StoredEvent(1, msgspec.structs.replace(stored.event, user="ann"))
    for hidden, user in ((frozenset[str](), "ann"), (names, None)):
        query = parse({}, CHANNEL.columns.without(hidden)).hiding(hidden)
        record = frame_of(Change.RECORD, stored, query, sequenced=True)
        assert record["_user"] == user
        assert ("user" in record["row"]) is not bool(hidden)


def test_views_are_equal_only_if_they_hide_the_same() -> None:
    views = [
        View(Form.V1, query, history=False, epoch="e")
        for query in (
            parse({}, CHANNEL.columns),
            parse({}, CHANNEL.columns.without(HIDDEN)).hiding(HIDDEN),
            parse({"_c": ["-votes"]}, CHANNEL.columns),
        )
    ]
    assert len({view.key for view in views}) == 3
    again = parse({}, CHANNEL.columns.without(HIDDEN)).hiding(HIDDEN)
    assert View(Form.V1, again, history=False, epoch="e").key == views[1].key
