"""Rows and events are Arrow tables in which every value has the type of its column."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Digits, Kind
from projections.columnar import (
    EventsAsArrow,
    event_schema,
    row_schema,
    type_of,
)
from tests.projecting import EVERY_KIND, history

PRICES = Channel(
    "prices",
    Columns([Column("price", Kind.DECIMAL, digits=Digits(12, 2)), Column("tags", Kind.JSON)]),
)
EVENTS = history(
    PRICES,
    [
        ("POST", "a", {"price": "1234567890.05", "tags": {"x": [1, None]}}),
        ("PUT", "a", {"price": None}),
        ("DELETE", "a", {}),
    ],
)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_column_has_a_type(kind: Kind) -> None:
    names = {Kind.DATE: "date32[day]", Kind.TIMESTAMPTZ: "timestamp[us, tz=UTC]"}
    found = type_of(Column("c", kind))
    assert isinstance(found, pa.DataType)
    assert str(found) == names.get(kind, str(found))


def test_a_decimal_has_the_digits_of_its_column() -> None:
    assert type_of(PRICES.columns["price"]) == pa.decimal128(12, 2)


def test_the_columns_of_the_hub_stand_around_those_of_the_row() -> None:
    names = list(PRICES.columns.names)
    assert row_schema(PRICES).names == [*names, "_seq", "_created_seq", "_time"]
    found = event_schema(PRICES).names
    assert found[:3] == ["_seq", "_created_seq", "_time"]
    assert found[6 : 6 + len(names)] == names
    assert found[-1] == "_alert"


def test_events_become_a_table_of_their_schema_in_their_order() -> None:
    with EventsAsArrow(PRICES) as convert:
        table = convert.table(EVENTS)
        assert convert.table([]).num_rows == 0
    assert table.schema == event_schema(PRICES)
    assert table["_seq"].to_pylist() == [1, 2, 3]
    assert table["_method"].to_pylist() == ["POST", "PUT", "DELETE"]
    assert table["price"].to_pylist() == [Decimal("1234567890.05"), None, None]
    assert json.loads(table["tags"][0].as_py()) == {"x": [1, None]}
    assert table["_time"][0].as_py() == datetime(2026, 11, 23, 10, 0, 0, 1, UTC)
    assert json.loads(table["_was"][1].as_py()) == {
        name: json.loads(json.dumps(value)) for name, value in (EVENTS[1].event.was or {}).items()
    }


def test_a_long_text_is_in_the_row_and_in_the_message() -> None:
    notes = Channel("notes", Columns([Column("body")]))
    text = "long " * 1000
    with EventsAsArrow(notes) as convert:
        table = convert.table(history(notes, [("POST", "a", {"body": text})]))
    assert table["body"].to_pylist() == [text]
    assert json.loads(table["_message"][0].as_py())["body"] == text


def test_names_of_columns_may_be_anything() -> None:
    events = history(EVERY_KIND, [("POST", "a", {})])
    with EventsAsArrow(EVERY_KIND) as convert:
        assert convert.table(events).num_rows == 1
