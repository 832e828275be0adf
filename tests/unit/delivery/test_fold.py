"""A fold appends rows to a snapshot, or reports that the snapshot is no longer current."""

from typing import Any

import msgspec
import pytest

from eventhub.delivery.fold import Fold
from eventhub.delivery.frames import Form
from eventhub.delivery.view import View
from eventhub.filters.query import parse
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
