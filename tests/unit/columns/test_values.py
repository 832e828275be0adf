"""A value is converted once: converting it again keeps it, and nothing is rounded."""

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.columns import INT64, Column, Digits, Kind, stamp
from eventhub.errors import Rejected
from eventhub.ingest.decoding import parse_json
from tests.unit.columns.grammar import NUMBERS, VALUES, stored

COLUMN = st.builds(Column, name=st.just("c"), kind=st.sampled_from(Kind))


TYPES_OF = {
    Kind.TEXT: str,
    Kind.INTEGER: int,
    Kind.REAL: float,
    Kind.BOOLEAN: bool,
    Kind.DATE: str,
    Kind.TIMESTAMP: str,
}


def refused(kind: Kind, value: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        stored(kind, value)
    assert caught.value.code == "bad_value"
    assert caught.value.column == "c"
    return caught.value


@given(COLUMN, VALUES)
def test_converted_value_converts_to_itself(column: Column, value: Any) -> None:
    try:
        once = column.convert(value)
    except Rejected:
        return
    assert column.convert(once) == once
    if once is not None and column.kind in TYPES_OF:
        assert type(once) is TYPES_OF[column.kind]


@given(st.datetimes(), st.datetimes())
def test_timestamps_sort_as_text_by_time(one: datetime, other: datetime) -> None:
    texts = [stored(Kind.TIMESTAMP, moment.isoformat()) for moment in (one, other)]
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
def test_value_becomes_the_type_of_its_column(kind: Kind, value: Any, expected: Any) -> None:
    result = stored(kind, value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
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
        (Kind.DATE, "2023-02-30", 'c: "2023-02-30" is not a date such as 2023-01-02'),
        (Kind.TIMESTAMP, 1, "c: 1 is not a time such as 2023-01-02T03:04:05"),
        (Kind.JSON, [math.nan], None),
        (Kind.JSON, {"a": "\udfff"}, None),
    ],
)
def test_value_that_does_not_fit_is_refused_with_its_column(
    kind: Kind, value: Any, message: str | None
) -> None:
    error = refused(kind, value)
    assert message is None or error.message == message


def test_whole_number_beyond_the_precision_of_floats_is_exact_or_refused() -> None:
    assert stored(Kind.INTEGER, 2**53 + 1) == 2**53 + 1
    assert stored(Kind.INTEGER, str(2**63 - 1)) == 2**63 - 1
    assert stored(Kind.INTEGER, 1e3) == 1000
    with pytest.raises(Rejected, match="neither point nor exponent"):
        stored(Kind.INTEGER, 9007199254740994.0)


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e999"])
def test_number_that_is_not_finite_is_refused(text: str) -> None:
    for kind in NUMBERS:
        with pytest.raises(Rejected):
            stored(kind, text)


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(1, 38), st.data())
def test_decimal_is_exactly_the_number_or_refused(
    number: Decimal, precision: int, data: st.DataObject
) -> None:
    digits = Digits(precision, data.draw(st.integers(0, precision)))
    fits = abs(number) < Decimal((0, (1,), digits.precision - digits.scale)) and (
        number == 0 or _places(number) <= digits.scale
    )
    try:
        text = stored(Kind.DECIMAL, str(number), digits)
    except Rejected:
        assert not fits
        return
    assert fits
    assert Decimal(text) == number
    assert len(text.partition(".")[2]) == digits.scale
    assert stored(Kind.DECIMAL, text, digits) == text


def _places(number: Decimal) -> int:
    """Digits after the point, without zeros at the end."""
    text = f"{number:f}"
    return len(text.partition(".")[2].rstrip("0"))


def test_json_number_keeps_all_digits_in_a_decimal_column() -> None:
    [message] = parse_json(b'{"c": 12345678901234567.89, "n": [0.1234567890123456789]}', exact=True)
    assert stored(Kind.DECIMAL, message["c"], Digits(22, 2)) == "12345678901234567.89"
    assert message["n"] == [0.12345678901234568]
    assert stored(Kind.DECIMAL, 0.1, Digits(5, 2)) == "0.10"


def test_hook_may_set_a_date_or_time_of_python() -> None:
    moment = datetime(2023, 4, 1, 10, tzinfo=timezone(timedelta(hours=2)))
    assert stored(Kind.TIMESTAMP, moment) == stamp(moment) == "2023-04-01T08:00:00"
    assert stored(Kind.TIMESTAMPTZ, moment) == "2023-04-01T08:00:00Z"
    assert stored(Kind.DATE, moment.date()) == "2023-04-01"
    assert stored(Kind.TIMESTAMP, datetime(2023, 4, 1, tzinfo=UTC)) == "2023-04-01T00:00:00"
