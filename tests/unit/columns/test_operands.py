"""The text of a filter is compared like the value that a row holds."""

import math
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.columns import Column, Columns, Digits, Kind, stamp
from eventhub.columns.operands import equality_operand, match_operand, order_operand
from eventhub.errors import Rejected
from eventhub.filters.query import parse

ZONES = st.integers(-14 * 4, 14 * 4).map(lambda n: timezone(timedelta(minutes=15 * n)))


MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=ZONES)  # noqa: DTZ001


@given(MOMENTS, MOMENTS, st.sampled_from(["timestamp", "plain", "zoned"]))
def test_filter_compares_instants_in_any_zone(row: datetime, asked: datetime, name: str) -> None:
    columns = Columns([Column("plain", Kind.TIMESTAMP), Column("zoned", Kind.TIMESTAMPTZ)])
    value = stamp(row.isoformat()) if name == "timestamp" else columns[name].convert(str(row))
    found = {
        operator: parse({name + operator: [asked.isoformat(" ")]}, columns).filter.matches(
            {name: value}
        )
        for operator in ("", ">", ">~", "<", "<~")
    }
    assert found == {
        "": row == asked,
        ">": row > asked,
        ">~": row >= asked,
        "<": row < asked,
        "<~": row <= asked,
    }


def test_lowest_of_several_bounds_on_an_instant_counts() -> None:
    columns = Columns([Column("zoned", Kind.TIMESTAMPTZ)])
    bounds = ["2023-04-01T10:00:00Z", "2023-04-01T10:00:00.5Z"]
    above_least = parse({"zoned>": bounds}, columns).filter.matches
    assert above_least({"zoned": "2023-04-01T10:00:00.200000Z"})
    assert not above_least({"zoned": "2023-04-01T10:00:00Z"})


def test_plus_that_became_a_blank_in_a_url_is_explained() -> None:
    for name in ("timestamp", "at"):
        with pytest.raises(Rejected, match="%2B"):
            equality_operand(Column(name, Kind.TIMESTAMP), "2023-04-01T10:30:00 05:30")


def test_match_on_timestamp_is_on_its_text() -> None:
    columns = Columns([])
    row = {"timestamp": "2023-04-01T10:30:00"}
    assert parse({"timestamp~": ["T10:3"]}, columns).filter.matches(row)
    assert parse({"timestamp*": ["t10:3"]}, columns).filter.matches(row)


PRICE = Column("c", Kind.DECIMAL, digits=Digits(5, 2))


@given(st.decimals("-2000", "2000", places=4), st.decimals("-999.99", "999.99", places=2))
def test_bound_of_a_decimal_is_rounded_to_a_number_that_separates_the_same_rows(
    bound: Decimal, row: Decimal
) -> None:
    up, down = (order_operand(PRICE, str(bound), up=up) for up in (True, False))
    assert (row >= bound) == (row >= up)
    assert (row <= bound) == (row <= down)


@pytest.mark.parametrize(
    ("text", "operand"),
    [("1.5", "1.50"), ("1.555", None), ("1000", None), ("nan", None), ("-inf", None)],
)
def test_decimal_that_the_column_cannot_hold_equals_no_row(text: str, operand: str | None) -> None:
    found = equality_operand(PRICE, text)
    assert found == operand if operand else math.isnan(found)


@pytest.mark.parametrize(("text", "bound"), [(str(2**63), 2**63), (str(-(2**80)), -(2**63) - 1)])
def test_whole_number_beyond_64_bits_is_the_nearest_that_no_row_holds(
    text: str, bound: int
) -> None:
    assert order_operand(Column("c", Kind.INTEGER), text, up=True) == bound


def test_beginning_of_a_date_is_its_first_day() -> None:
    day = Column("c", Kind.DATE)
    assert equality_operand(day, "2023-04") == "2023-04-01"
    assert order_operand(day, "2023-04-01T10:00", up=False) == "2023-04-01T10:00:00"


def test_match_without_case_is_folded_and_limited() -> None:
    body = Column("body")
    assert match_operand(body, "STRASSE", folded=True) == match_operand(body, "straße", folded=True)
    assert match_operand(body, "x" * 5000, folded=False) == "x" * 5000
    for text, folded in (("x" * 5000, True), ("\ud800", False)):
        with pytest.raises(Rejected, match=r"body: .* is not .*text"):
            match_operand(body, text, folded=folded)
