"""One grammar of numbers, times and truth for messages and filters; nothing read is rounded."""

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.columns import Column, Columns, Digits, Kind, digits_of, kind_of, stamp
from eventhub.columns.asked import asked_value
from eventhub.errors import Misconfigured, Rejected
from eventhub.filters.query import parse
from eventhub.ingest.decoding import parse_json

NUMBERS = [Kind.INTEGER, Kind.REAL, Kind.DECIMAL]
TIMES = [Kind.TIMESTAMP, Kind.TIMESTAMPTZ]


def column(kind: Kind, digits: Digits | None = None) -> Column:
    return Column("c", kind, digits=digits)


def stored(kind: Kind, value: Any, digits: Digits | None = None) -> Any:
    return column(kind, digits).convert(value)


def is_refused(kind: Kind, text: str) -> bool:
    """Tell whether both a message and a filter refuse a text; one alone is a fault."""
    refusals = []
    for read in (column(kind).convert, lambda text: asked_value(column(kind), text)):
        try:
            read(text)
        except Rejected as error:
            refusals.append(error.code)
    assert refusals in ([], ["bad_value", "bad_filter"]), (text, refusals)
    return bool(refusals)


# --- Numbers


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize(
    "text",
    [
        "1_0",
        "1_0.5",
        "١٢",
        "१",
        "²",
        "0x10",
        "0b1",
        "1,5",
        "1 000",
        "--1",
        "+ 1",
        "e5",
        ".",
        "1.2.3",
    ],
)
def test_what_only_python_reads_as_a_number_is_none(kind: Kind, text: str) -> None:
    assert is_refused(kind, text)


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize(("text", "number"), [("7", 7), ("+7", 7), (" -7\t", -7), ("007", 7)])
def test_a_sign_and_outer_white_space_are_part_of_a_number(
    kind: Kind, text: str, number: int
) -> None:
    assert not is_refused(kind, text)
    assert Decimal(stored(kind, text)) == number


@pytest.mark.parametrize("text", ["12.0", "1e3", "12.", "1.5"])
def test_the_text_of_a_whole_number_has_no_point_or_exponent(text: str) -> None:
    assert is_refused(Kind.INTEGER, text)
    assert not is_refused(Kind.REAL, text)
    assert not is_refused(Kind.DECIMAL, text)


@pytest.mark.parametrize("raw", ["_limit=1_0", "_limit=٣", "_offset=0x1", "_limit=1e1", "_limit="])
def test_limits_are_whole_numbers_too(raw: str) -> None:
    name, _, value = raw.partition("=")
    with pytest.raises(Rejected) as caught:
        parse({name: [value]}, Columns([]))
    assert (caught.value.code, caught.value.column) == ("bad_filter", name)


def test_a_whole_number_beyond_what_floats_hold_is_exact_or_refused() -> None:
    assert stored(Kind.INTEGER, 2**53 + 1) == 2**53 + 1
    assert stored(Kind.INTEGER, str(2**63 - 1)) == 2**63 - 1
    assert stored(Kind.INTEGER, 1e3) == 1000
    with pytest.raises(Rejected, match="neither point nor exponent"):
        stored(Kind.INTEGER, 9007199254740994.0)


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e999"])
def test_what_is_not_finite_is_no_value(text: str) -> None:
    for kind in NUMBERS:
        with pytest.raises(Rejected):
            stored(kind, text)


# --- DECIMAL


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(1, 38), st.data())
def test_a_decimal_is_the_number_or_refused(
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


def test_a_json_number_keeps_all_digits_on_its_way_to_a_decimal() -> None:
    [message] = parse_json(b'{"c": 12345678901234567.89, "n": [0.1234567890123456789]}', exact=True)
    assert stored(Kind.DECIMAL, message["c"], Digits(22, 2)) == "12345678901234567.89"
    assert message["n"] == [0.12345678901234568]
    assert stored(Kind.DECIMAL, 0.1, Digits(5, 2)) == "0.10"


@pytest.mark.parametrize(
    ("sql_type", "digits"),
    [
        ("DECIMAL", Digits(38, 10)),
        ("numeric(12)", Digits(12, 0)),
        ("Decimal ( 10 , 2 )", Digits(10, 2)),
        ("VARCHAR(20)", None),
    ],
)
def test_the_digits_of_a_type(sql_type: str, digits: Digits | None) -> None:
    assert digits_of(sql_type) == digits


@pytest.mark.parametrize("sql_type", ["DECIMAL(39)", "DECIMAL(0)", "DECIMAL(5,6)", "DECIMAL(,2)"])
def test_a_decimal_that_no_database_has_is_refused(sql_type: str) -> None:
    with pytest.raises(Misconfigured, match="1 to 38 digits"):
        digits_of(sql_type)


def test_hooks_and_templates_reckon_with_a_decimal() -> None:
    columns = Columns([Column("c", Kind.DECIMAL, digits=Digits(5, 2))])
    assert columns.spelling.numbers({"c": "1.50", "x": "1"}) == {"c": Decimal("1.5"), "x": "1"}


# --- Truth


@pytest.mark.parametrize("text", ["true", "T", "yes", "Y", "on", " 1 ", "2", "-1", "0.5"])
def test_true_in_messages_and_filters(text: str) -> None:
    assert stored(Kind.BOOLEAN, text) is asked_value(column(Kind.BOOLEAN), text) is True


@pytest.mark.parametrize("text", ["false", "F", "no", "N", "off", " 0 ", "0.0", "-0"])
def test_false_in_messages_and_filters(text: str) -> None:
    assert stored(Kind.BOOLEAN, text) is asked_value(column(Kind.BOOLEAN), text) is False


@pytest.mark.parametrize("text", ["maybe", "offf", "ja", "nil", "null", "nan", "yes no"])
def test_any_other_word_is_refused_in_both(text: str) -> None:
    assert is_refused(Kind.BOOLEAN, text)


# --- Times


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
def test_a_time_is_one_instant_in_messages_filters_and_stamps(
    kind: Kind, text: str, utc: str
) -> None:
    form = utc + "Z" if kind is Kind.TIMESTAMPTZ else utc
    assert stored(kind, text) == asked_value(column(kind), text) == form
    assert stamp(text) == utc
    if len(text) > 10:
        assert asked_value(Column("timestamp"), text) == utc


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
def test_what_is_no_time_is_refused_everywhere(kind: Kind, text: str) -> None:
    assert is_refused(kind, text)
    with pytest.raises(Rejected, match="timestamp"):
        stamp(text)
    with pytest.raises(Rejected, match="timestamp"):
        asked_value(Column("timestamp"), text)


ZONES = st.integers(-14 * 4, 14 * 4).map(lambda n: timezone(timedelta(minutes=15 * n)))
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=ZONES)  # noqa: DTZ001


@given(MOMENTS, MOMENTS, st.sampled_from(["timestamp", "plain", "zoned"]))
def test_filters_compare_instants_whatever_their_zone(
    row: datetime, asked: datetime, name: str
) -> None:
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


def test_several_bounds_on_an_instant_count_by_time() -> None:
    columns = Columns([Column("zoned", Kind.TIMESTAMPTZ)])
    bounds = ["2023-04-01T10:00:00Z", "2023-04-01T10:00:00.5Z"]
    above_least = parse({"zoned>": bounds}, columns).filter.matches
    assert above_least({"zoned": "2023-04-01T10:00:00.200000Z"})
    assert not above_least({"zoned": "2023-04-01T10:00:00Z"})


def test_a_plus_that_a_url_made_a_blank_is_told() -> None:
    for name in ("timestamp", "at"):
        with pytest.raises(Rejected, match="%2B"):
            asked_value(Column(name, Kind.TIMESTAMP), "2023-04-01T10:30:00 05:30")


def test_a_match_on_timestamp_is_of_its_text() -> None:
    columns = Columns([])
    row = {"timestamp": "2023-04-01T10:30:00"}
    assert parse({"timestamp~": ["T10:3"]}, columns).filter.matches(row)
    assert parse({"timestamp*": ["t10:3"]}, columns).filter.matches(row)


def test_what_hooks_make_may_be_a_time_of_python() -> None:
    moment = datetime(2023, 4, 1, 10, tzinfo=timezone(timedelta(hours=2)))
    assert stored(Kind.TIMESTAMP, moment) == stamp(moment) == "2023-04-01T08:00:00"
    assert stored(Kind.TIMESTAMPTZ, moment) == "2023-04-01T08:00:00Z"
    assert stored(Kind.DATE, moment.date()) == "2023-04-01"
    assert stored(Kind.TIMESTAMP, datetime(2023, 4, 1, tzinfo=UTC)) == "2023-04-01T00:00:00"


def test_a_time_zone_is_part_of_a_types_name() -> None:
    assert kind_of("timestamp with time zone") is kind_of("TIMESTAMPTZ") is Kind.TIMESTAMPTZ
    assert kind_of("TIMESTAMP WITHOUT TIME ZONE") is kind_of("DATETIME") is Kind.TIMESTAMP


# --- Lifting


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
def test_an_old_value_is_kept_where_the_cast_is_lossless(old: Any, kind: Kind, new: Any) -> None:
    digits = Digits(5, 2) if kind is Kind.DECIMAL else None
    columns = Columns([column(kind, digits)])
    lifted = columns.lift({"c": old, "id": "1"})["c"]
    assert (lifted, type(lifted)) == (new, type(new))
    assert columns.lift({"c": lifted, "id": "1"})["c"] == lifted
    assert columns.lost["c"] == (new is None and old != "")


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(Kind))
def test_a_lifted_number_is_the_same_number(number: float, kind: Kind) -> None:
    if kind not in [*NUMBERS, Kind.TEXT, Kind.BOOLEAN]:
        return
    lifted = Columns([column(kind)]).lift({"c": number})["c"]
    if lifted is not None:
        value = int(lifted) if isinstance(lifted, bool) else Decimal(str(lifted))
        assert value == Decimal(str(number))
        assert not isinstance(lifted, float) or math.isfinite(lifted)


def test_a_stamp_that_goes_out_with_a_z_is_one_of_the_stored_form() -> None:
    pattern = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?")
    assert all(pattern.fullmatch(stamp(text)) for text in ("2023-04-01", "2023-04-01T10:00:00.1Z"))
