"""A fold appends rows to a snapshot, or reports that the snapshot is no longer current."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from eventhub.delivery import fold as module
from eventhub.delivery.fold import Fold, needed_sequence
from eventhub.delivery.frames import Form
from eventhub.delivery.view import View
from eventhub.demand import Demand
from eventhub.feed import Feed
from eventhub.filters.query import parse
from eventhub.memory import MemoryStream
from eventhub.snapshots import RowHead
from tests.builders import channel
from tests.subscribing import Frame, history

BEFORE = [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}]
PUT, DELETE = {"_method": "PUT"}, {"_method": "DELETE"}


def fold_of(messages: list[Frame], **args: list[str]) -> tuple[bool, list[Any]]:
    """Fold messages after a snapshot of `BEFORE`; return whether it is current, and the rows."""
    query = parse(args, channel().columns)
    fold = Fold(View(Form.V1, query, history=False, epoch="e"), len(BEFORE))
    is_current = fold.add(history([*BEFORE, *messages], channel())[len(BEFORE) :])
    return is_current, [msgspec.json.decode(row) for row in fold.rows(RowHead.SEQUENCED)]


def test_new_rows_are_appended_as_they_are_now_in_order_of_creation() -> None:
    is_current, rows = fold_of(
        [
            {"id": "3", "text": "a"},
            {"id": "4", "text": "a"},
            {**PUT, "id": "3", "votes": 7},
            {"id": "5"},
            {**DELETE, "id": "5"},
        ]
    )
    assert is_current
    assert [(row["_method"], row["_seq"], row["id"], row["votes"]) for row in rows] == [
        ("POST", 5, "3", 7),
        ("POST", 4, "4", None),
    ]


def test_rows_have_the_columns_of_the_query_and_no_controls_without_sequences() -> None:
    query = parse({"_c": ["votes", "text"]}, channel().columns)
    fold = Fold(View(Form.BARE, query, history=False, epoch="e"), 0)
    assert fold.add(history(BEFORE[:1], channel()))
    assert fold.rows(RowHead.NONE) == [b'{"votes":null,"text":"a"}']


@pytest.mark.parametrize("change", [{**PUT, "id": "1", "votes": 7}, {**DELETE, "id": "1"}])
def test_a_change_of_a_row_of_the_snapshot_makes_it_old(change: Frame) -> None:
    assert not fold_of([change])[0]


def test_a_row_that_enters_the_filter_makes_a_snapshot_old_if_it_existed_before() -> None:
    assert not fold_of([{**PUT, "id": "2", "text": "a"}], text=["a"])[0]
    assert fold_of([{"id": "3", "text": "b"}, {**PUT, "id": "3", "text": "a"}], text=["a"])[0]


def test_a_new_row_that_leaves_the_filter_is_not_appended() -> None:
    messages = [{"id": "3", "text": "a"}, {**PUT, "id": "3", "text": "b"}]
    assert fold_of(messages, text=["a"]) == (True, [])


@pytest.mark.parametrize("args", [{"_limit": ["9"]}, {"_offset": ["1"]}, {"_sort": ["text"]}])
def test_any_visible_event_makes_a_sorted_or_limited_snapshot_old(args: Any) -> None:
    assert not fold_of([{"id": "3", "text": "a"}], **args)[0]
    assert fold_of([{"id": "3", "text": "b"}], text=["a"], **args)[0]


def test_rows_of_many_bytes_are_not_appended(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are encoded in the event loop."""
    monkeypatch.setattr(module, "MAX_ADDED_BYTES", 6000)
    large = {"id": "3", "text": "x" * 3000}
    assert fold_of([large])[0]
    assert not fold_of([large, {**PUT, "id": "3", "votes": 1}])[0]
    assert fold_of([large, {**large, "id": "4"}], text=["a"]) == (True, [])


async def needed(messages: Sequence[Frame], demand: Demand | None = None, **args: Any) -> int:
    """Return what a reader needs while the tables have two events, and the log has all of these."""
    stream = MemoryStream(channel())
    events = history([*BEFORE, *messages], channel())
    feed = Feed(stream, 0, demand=demand)
    feed.publish(events)
    view = View(Form.V1, parse(args, channel().columns), history=False, epoch=stream.epoch)
    return await needed_sequence(feed, view, len(BEFORE), len(events))


async def test_a_reader_of_other_rows_does_not_wait_for_the_tables() -> None:
    changes: list[Frame] = [{**PUT, "id": "2", "votes": 7}, {"id": "3", "text": "b"}]
    assert await needed(changes, text=["a"]) == 2
    assert await needed(changes, id=["1"], _sort=["-votes"], _limit=["1"]) == 2


async def test_new_rows_are_appended_instead_of_waiting_for_the_tables() -> None:
    new: list[Frame] = [{"id": "3", "text": "b"}, {**PUT, "id": "3", "votes": 7}]
    assert await needed(new) == 2
    assert await needed(new, _limit=["9"]) == 4


async def test_a_reader_of_a_changed_row_waits_for_the_tables() -> None:
    assert await needed([{**PUT, "id": "2", "votes": 7}]) == 3
    assert await needed([{**PUT, "id": "2", "text": "a"}], text=["a"]) == 3


async def test_a_reader_waits_for_the_tables_if_to_fold_would_cost_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = [{"id": "3", "text": "b"}]
    assert await needed(other, None, **{"text~": ["a.*c"]}) == 3  # a search in each text
    assert await needed(other, demand=Demand(60.0), text=["a"]) == 3  # the feed rests
    monkeypatch.setattr(module, "MAX_EVENTS", 1)
    assert await needed(other, text=["a"]) == 2
    assert await needed([*other, {"id": "4"}], text=["a"]) == 4


async def test_a_reader_of_a_past_state_waits_for_the_tables() -> None:
    """A past state is made from the history, which may be further than the current rows."""
    stream = MemoryStream(channel())
    feed = Feed(stream, 0)
    feed.publish(history([*BEFORE, {"id": "3", "text": "b"}], channel()))
    query = parse({"text": ["a"]}, channel().columns)
    view = View(Form.V1, query, history=False, epoch=stream.epoch)
    assert await needed_sequence(feed, view, 2, 3) == 2
    assert await needed_sequence(feed, view.after(3), 2, 3) == 3
