"""A value is converted once and for good: converting it again, or reading it later, keeps it."""

import math
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.columns import BUILT_IN, INT64, Column, Columns, Kind, kind_of
from eventhub.errors import Misconfigured, Rejected

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
TIMES = st.datetimes().map(str) | st.dates().map(str)
VALUES = JSON | st.integers().map(str) | st.floats().map(str) | TIMES
COLUMN = st.builds(Column, name=st.just("c"), kind=st.sampled_from(Kind))
TYPES_OF = {
    Kind.TEXT: str,
    Kind.INTEGER: int,
    Kind.REAL: float,
    Kind.BOOLEAN: bool,
    Kind.DATE: str,
    Kind.TIMESTAMP: str,
}


def converted(kind: Kind, value: Any) -> Any:
    return Column("c", kind).convert(value)


def refused(kind: Kind, value: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        converted(kind, value)
    assert caught.value.code == "bad_value"
    assert caught.value.column == "c"
    return caught.value


@given(COLUMN, VALUES)
def test_a_converted_value_converts_to_itself(column: Column, value: Any) -> None:
    try:
        once = column.convert(value)
    except Rejected:
        return
    assert column.convert(once) == once
    if once is not None and column.kind in TYPES_OF:
        assert type(once) is TYPES_OF[column.kind]


@given(st.dictionaries(st.sampled_from("abcdef"), VALUES))
def test_lifting_a_row_to_its_own_columns_keeps_it(values: dict[str, Any]) -> None:
    columns = Columns(Column(name, kind) for name, kind in zip("abcdef", Kind, strict=False))
    row = columns.new_row({})
    for name, value in values.items():
        try:
            row[name] = columns[name].convert(value)
        except Rejected:
            continue
    assert columns.lift(row) == row


@given(st.datetimes(), st.datetimes())
def test_timestamps_sort_as_text_as_they_do_in_time(one: datetime, other: datetime) -> None:
    texts = [converted(Kind.TIMESTAMP, moment.isoformat()) for moment in (one, other)]
    assert (texts[0] < texts[1]) == (one < other)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Kind.TEXT, 5, "5"),
        (Kind.TEXT, True, "true"),
        (Kind.TEXT, "", ""),
        (Kind.INTEGER, "12", 12),
        (Kind.INTEGER, 12.0, 12),
        (Kind.INTEGER, True, 1),
        (Kind.INTEGER, "", None),
        (Kind.REAL, "0.5", 0.5),
        (Kind.REAL, 1, 1.0),
        (Kind.BOOLEAN, "No", False),
        (Kind.BOOLEAN, 1, True),
        (Kind.DATE, " 2023-01-02 ", "2023-01-02"),
        (Kind.TIMESTAMP, "2023-01-02", "2023-01-02T00:00:00"),
        (Kind.TIMESTAMP, "2023-01-02T03:04:05Z", "2023-01-02T03:04:05"),
        (Kind.TIMESTAMP, "2023-01-02T03:04:05+02:00", "2023-01-02T01:04:05"),
        (Kind.JSON, {"a": [1, None]}, {"a": [1, None]}),
        (Kind.JSON, "", None),
    ],
)
def test_a_value_becomes_the_columns_type(kind: Kind, value: Any, expected: Any) -> None:
    result = converted(kind, value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (Kind.INTEGER, "abc", 'c: "abc" is not a whole number'),
        (Kind.INTEGER, 0.5, "c: 0.5 is not a whole number"),
        (Kind.INTEGER, INT64.stop, f"c: {2**63} is not a whole number (out of range)"),
        (Kind.INTEGER, [1], "c: [1] is not a whole number"),
        (Kind.REAL, math.nan, "c: NaN is not a number (not finite)"),
        (Kind.REAL, "inf", 'c: "inf" is not a number'),
        (Kind.REAL, 10**400, None),
        (Kind.TEXT, math.inf, "c: Infinity is not text (not finite)"),
        (Kind.TEXT, "\ud800", 'c: "\\ud800" is not text (half a surrogate pair)'),
        (Kind.TEXT, {"a": 1}, 'c: {"a": 1} is not text'),
        (Kind.TEXT, object(), "c: a object is not text"),
        (Kind.BOOLEAN, "maybe", 'c: "maybe" is not true or false'),
        (Kind.DATE, "2023-02-30", 'c: "2023-02-30" is not a date as 2023-01-02'),
        (Kind.TIMESTAMP, 1, "c: 1 is not a time as 2023-01-02T03:04:05"),
        (Kind.JSON, [math.nan], None),
        (Kind.JSON, {"a": "\udfff"}, None),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(
    kind: Kind, value: Any, says: str | None
) -> None:
    error = refused(kind, value)
    assert says is None or error.message == says


def test_a_column_that_must_not_be_empty_refuses_null() -> None:
    column = Column("c", Kind.INTEGER, nullable=False)
    for nothing in (None, ""):
        with pytest.raises(Rejected, match="c must not be empty"):
            column.convert(nothing)


def test_a_new_row_has_all_columns_in_order_and_their_defaults() -> None:
    columns = Columns([Column("body"), Column("size", Kind.INTEGER, default=1)])
    row = columns.new_row({"id": "1", "body": "x", "unknown": "y", "_method": "POST"})
    assert list(row.items()) == [
        ("body", "x"),
        ("size", 1),
        ("id", "1"),
        ("user", None),
        ("timestamp", None),
    ]


def test_a_new_row_without_a_column_that_must_not_be_empty_is_refused() -> None:
    columns = Columns([Column("body", nullable=False)])
    with pytest.raises(Rejected, match="body is missing"):
        columns.new_row({"id": "1"})


def test_the_built_in_columns_come_last_and_once() -> None:
    columns = Columns([Column("user"), Column("body")])
    assert columns.names == ("body", *BUILT_IN)


def test_converting_a_message_leaves_keys_alone_that_are_no_columns() -> None:
    columns = Columns([Column("size", Kind.INTEGER)])
    message = {"_method": "PUT", "size": "3", "other": "3"}
    assert columns.convert(message) == {"_method": "PUT", "size": 3, "other": "3"}


def test_lifting_fills_new_columns_drops_old_ones_and_converts_the_rest() -> None:
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


@pytest.mark.parametrize(
    ("sql_type", "kind"),
    [
        ("TEXT", Kind.TEXT),
        (" varchar(20) ", Kind.TEXT),
        ("CHARACTER VARYING(5)", Kind.TEXT),
        ("INTEGER", Kind.INTEGER),
        ("float", Kind.REAL),
        ("DOUBLE PRECISION", Kind.REAL),
        ("NUMERIC(10, 2)", Kind.DECIMAL),
        ("DATETIME", Kind.TIMESTAMP),
    ],
)
def test_sql_types_mean_a_kind_in_any_case_and_width(sql_type: str, kind: Kind) -> None:
    assert kind_of(sql_type) is kind


@pytest.mark.parametrize("sql_type", ["", "BLOB", "TEXT NOT NULL", "TEXT; DROP TABLE x"])
def test_other_sql_types_are_refused(sql_type: str) -> None:
    with pytest.raises(Misconfigured, match="unknown column type"):
        kind_of(sql_type)
