"""A stored value survives a change of its column if the cast is lossless."""

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.columns import Column, Columns, Digits, Kind
from eventhub.errors import Rejected
from tests.unit.columns.grammar import NUMBERS, VALUES, column


@given(st.dictionaries(st.sampled_from("abcdef"), VALUES))
def test_row_lifted_to_its_own_columns_is_unchanged(values: dict[str, Any]) -> None:
    columns = Columns(Column(name, kind) for name, kind in zip("abcdef", Kind, strict=False))
    row = columns.new_row({})
    for name, value in values.items():
        try:
            row[name] = columns[name].convert(value)
        except Rejected:
            continue
    assert columns.lift(row) == row


LIFTED: list[tuple[Any, Kind, Any]] = [
    ("2024-09-15T10:00:00", Kind.DATE, "2024-09-15"),
    ("2024-09-15T23:00:00Z", Kind.DATE, "2024-09-15"),
    ("2024-09-15", Kind.TIMESTAMP, "2024-09-15T00:00:00"),
    ("2024-09-15T10:00:00+02:00", Kind.TIMESTAMP, "2024-09-15T08:00:00"),
    ("2024-09-15T10:00:00", Kind.TIMESTAMPTZ, "2024-09-15T10:00:00Z"),
    ("2024-09-15T10:00:00Z", Kind.TIMESTAMP, "2024-09-15T10:00:00"),
    ("soon", Kind.DATE, None),
    ("42", Kind.INTEGER, 42),
    (" 8 ", Kind.REAL, 8.0),
    ("3.00", Kind.INTEGER, 3),
    (3.0, Kind.INTEGER, 3),
    (3.5, Kind.INTEGER, None),
    (1e19, Kind.INTEGER, None),
    (True, Kind.INTEGER, 1),
    (7, Kind.REAL, 7.0),
    (2**53 + 1, Kind.REAL, None),
    ("0.10", Kind.REAL, 0.1),
    ("12345678901234567.89", Kind.REAL, None),
    (0.1, Kind.DECIMAL, "0.10"),
    (0.125, Kind.DECIMAL, None),
    ("1.50", Kind.DECIMAL, "1.50"),
    (1000, Kind.DECIMAL, None),
    (False, Kind.DECIMAL, "0.00"),
    (True, Kind.TEXT, "true"),
    (12, Kind.TEXT, "12"),
    ("1.50", Kind.TEXT, "1.50"),
    ({"a": [1, "ä"]}, Kind.TEXT, '{"a":[1,"ä"]}'),
    ([True, None], Kind.TEXT, "[true,null]"),
    ('{"a": 1}', Kind.JSON, '{"a": 1}'),
    (2.5, Kind.JSON, 2.5),
    (1, Kind.BOOLEAN, True),
    (0.0, Kind.BOOLEAN, False),
    ("no", Kind.BOOLEAN, False),
    (2, Kind.BOOLEAN, None),
    ("2", Kind.BOOLEAN, None),
    ([1], Kind.INTEGER, None),
    ("", Kind.INTEGER, None),
    ("", Kind.TEXT, ""),
]


@pytest.mark.parametrize(("old", "kind", "new"), LIFTED)
def test_old_value_is_kept_if_the_cast_is_lossless(old: Any, kind: Kind, new: Any) -> None:
    digits = Digits(5, 2) if kind is Kind.DECIMAL else None
    columns = Columns([column(kind, digits)])
    lifted = columns.lift({"c": old, "id": "1"})["c"]
    assert (lifted, type(lifted)) == (new, type(new))
    assert columns.lift({"c": lifted, "id": "1"})["c"] == lifted
    assert columns.lost["c"] == (new is None and old != "")


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(Kind))
def test_lifted_number_is_the_same_number(number: float, kind: Kind) -> None:
    if kind not in [*NUMBERS, Kind.TEXT, Kind.BOOLEAN]:
        return
    lifted = Columns([column(kind)]).lift({"c": number})["c"]
    if lifted is not None:
        value = int(lifted) if isinstance(lifted, bool) else Decimal(str(lifted))
        assert value == Decimal(str(number))
        assert not isinstance(lifted, float) or math.isfinite(lifted)
