"""The text of a filter is compared like the value that a row holds."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.columns import Column, Columns, Kind, stamp
from eventhub.columns.operands import equality_operand
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
