"""One grammar of dates and times for messages and filters."""

import pytest

from eventhub.columns import Column, Kind, stamp
from eventhub.columns.operands import equality_operand
from eventhub.errors import Rejected
from tests.unit.columns.grammar import TIMES, column, is_refused, stored


@pytest.mark.parametrize("kind", TIMES)
@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2023-04-01", "2023-04-01T00:00:00"),
        ("2023-04-01T10", "2023-04-01T10:00:00"),
        ("2023-04-01 10:30", "2023-04-01T10:30:00"),
        ("2023-04-01t10:30:00z", "2023-04-01T10:30:00"),
        ("2023-04-01T10:30:00+05:30", "2023-04-01T05:00:00"),
        ("2023-04-01T10:30:00-0500", "2023-04-01T15:30:00"),
        ("2023-04-01T00:30+14", "2023-03-31T10:30:00"),
        ("2023-04-01T10:30:00.5Z", "2023-04-01T10:30:00.500000"),
        ("2023-04-01T10:30:00.123456789Z", "2023-04-01T10:30:00.123456"),
        ("2023-04-01T10:30:00.000000", "2023-04-01T10:30:00"),
        (" 0001-01-01T00:00:00 ", "0001-01-01T00:00:00"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999"),
    ],
)
def test_time_is_the_same_instant_in_messages_filters_and_timestamps(
    kind: Kind, text: str, utc: str
) -> None:
    form = utc + "Z" if kind is Kind.TIMESTAMPTZ else utc
    assert stored(kind, text) == equality_operand(column(kind), text) == form
    assert stamp(text) == utc
    if len(text) > 10:
        assert equality_operand(Column("timestamp"), text) == utc


@pytest.mark.parametrize("kind", TIMES)
@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "20230401",
        "20230401T103000",
        "2023-W05-1",
        "2023-091",
        "2023-02-30",
        "2023-04-01T24:00:00",
        "2016-12-31T23:59:60Z",
        "2023-04-01T10:60",
        "2023-04-01T10:30:00,5",
        "2023-04-01T10:30:00.",
        "2023-04-01T10:30:00.1234567890",
        "2023-04-01X10:30",
        "2023-04-01  10:30",
        "2023-04-01T10:30:00 05:30",
        "2023-04-01T10:30:00+24:00",
        "2023-04-01T10:30:00+05:60",
        "2023-04-01Z",
        "2023-04-01T10:30:00Z[Europe/Paris]",
        "0000-01-01",
        "12023-04-01",
        "-2023-04-01",
        "0001-01-01T00:00+05:30",
        "9999-12-31T23:00-05:00",
        "٢٠٢٣-04-01",
        "1680339000",
    ],
)
def test_text_that_is_not_a_time_is_refused_everywhere(kind: Kind, text: str) -> None:
    assert is_refused(kind, text)
    with pytest.raises(Rejected, match="timestamp"):
        stamp(text)
    with pytest.raises(Rejected, match="timestamp"):
        equality_operand(Column("timestamp"), text)
