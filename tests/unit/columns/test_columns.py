"""A row has every column; a message is converted by name."""

import pytest

from eventhub.columns import BUILT_IN, Column, Columns, Kind
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
