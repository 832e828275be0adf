"""A row has every column; a message is converted by name."""

from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from eventhub.columns import BUILT_IN, MAX_PARTS, Column, Columns, Kind, hook_stamp
from eventhub.errors import Rejected


def test_new_row_has_all_columns_in_order_with_their_defaults() -> None:
    columns = Columns([Column("body"), Column("size", Kind.INTEGER, default=1)])
    row = columns.new_row({"id": "1", "body": "x", "unknown": "y", "_method": "POST"})
    assert list(row.items()) == [
        ("body", "x"),
        ("size", 1),
        ("id", "1"),
        ("user", None),
        ("timestamp", None),
    ]


def test_new_row_without_a_required_column_is_refused() -> None:
    columns = Columns([Column("body", nullable=False)])
    with pytest.raises(Rejected, match="body is missing"):
        columns.new_row({"id": "1"})


def test_built_in_columns_come_last_and_once() -> None:
    columns = Columns([Column("user"), Column("body")])
    assert columns.names == ("body", *BUILT_IN)


def test_keys_of_a_message_that_are_not_columns_are_not_converted() -> None:
    columns = Columns([Column("size", Kind.INTEGER)])
    message = {"_method": "PUT", "size": "3", "other": "3"}
    assert columns.convert(message) == {"_method": "PUT", "size": 3, "other": "3"}


def test_required_column_refuses_null() -> None:
    column = Column("c", Kind.INTEGER, nullable=False)
    for nothing in (None, ""):
        with pytest.raises(Rejected, match="c must not be empty"):
            column.convert(nothing)


def test_lifted_row_has_new_columns_without_removed_ones_and_is_converted() -> None:
    old = Columns([Column("gone"), Column("size"), Column("bad")])
    new = Columns(
        [
            Column("size", Kind.INTEGER),
            Column("bad", Kind.INTEGER),
            Column("added", default="new"),
        ]
    )
    row = old.new_row({"id": "1", "gone": "x", "size": "12", "bad": "many"})
    expected = {"size": 12, "bad": None, "added": "new", "id": "1", "user": None, "timestamp": None}
    assert new.lift(row) == expected


def test_signatures_are_equal_only_for_equal_columns() -> None:
    variants = [
        [],
        [Column("a")],
        [Column("b")],
        [Column("a"), Column("b")],
        [Column("b"), Column("a")],
        [Column("a", Kind.INTEGER)],
        [Column("a", nullable=False)],
        [Column("a", default="x")],
    ]
    assert len({Columns(columns).signature for columns in variants}) == len(variants)
    assert Columns([Column("a")]).signature == Columns([Column("a")]).signature


def test_broadcast_of_a_post_has_the_defaults_of_its_columns() -> None:
    columns = Columns([Column("body"), Column("size", Kind.INTEGER, default=1)])
    assert columns.with_defaults({"body": "x"}) == {"body": "x", "size": 1}
    message = {"size": 2}
    assert columns.with_defaults(message) is message


def test_timestamp_of_a_hook_is_a_time_the_beginning_of_one_or_null() -> None:
    assert hook_stamp(None) is None
    assert hook_stamp("2023") == "2023"
    assert hook_stamp(datetime(2023, 4, 1, tzinfo=UTC)) == "2023-04-01T00:00:00"
    with pytest.raises(Rejected, match='timestamp: "soon" is not a time such as'):
        hook_stamp("soon")


def test_lost_values_are_logged_less_and_less_often() -> None:
    columns = Columns([Column("size", Kind.INTEGER)])
    with capture_logs() as logs:
        for _ in range(25):
            columns.lift({"id": "1", "size": "many"})
    assert columns.lost["size"] == 25
    assert [(line["event"], line["count"]) for line in logs] == [
        ("value_not_lifted", 1),
        ("value_not_lifted", 10),
    ]


def test_without_some_columns_the_others_stay_in_their_order() -> None:
    columns = Columns([Column("a"), Column("b", Kind.DECIMAL), Column("c", default="x")])
    assert columns.without(frozenset()) is columns
    left = columns.without(frozenset({"b", "user"}))
    assert left.names == ("a", "c", "id", "timestamp")
    assert left["c"] is columns["c"]
    assert not left.spelling.decimals
    assert columns.without(frozenset({"user", "b"})) is left


def test_only_so_many_parts_of_a_table_are_kept() -> None:
    columns = Columns([Column(f"c{i}") for i in range(2 * MAX_PARTS)])
    for name in columns.names:
        assert name not in columns.without(frozenset({name}))
    assert len(columns._parts) <= MAX_PARTS
