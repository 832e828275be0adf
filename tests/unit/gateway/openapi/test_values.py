"""What the document says of values is true: such values are accepted, and read as described."""

from datetime import UTC
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.columns import INT64, STAMP, Column, Columns, Digits, Kind
from eventhub.filters.query import parse
from eventhub.gateway.openapi.values import Json, operand_schema, read_schema, written_schema

COLUMNS = [
    *(Column(kind.name.lower(), kind) for kind in Kind),
    Column("short", Kind.DECIMAL, digits=Digits(3, 3)),
    Column("whole", Kind.DECIMAL, digits=Digits(5, 0)),
    Column("id"),
    Column("user"),
    Column(STAMP),
]
DATES = st.dates().map(lambda day: day.isoformat())
TIMES = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat())
FORMATS = {"date": DATES, "date-time": TIMES}


def values_of(schema: Json) -> st.SearchStrategy[Any]:
    """Values that a schema of `values` describes."""
    if "const" in schema:
        return st.just(schema["const"])
    given = schema.get("type", ["object"])
    kinds = [given] if isinstance(given, str) else given
    return st.one_of([_of_kind(kind, schema) for kind in kinds])


def _of_kind(kind: str, schema: Json) -> st.SearchStrategy[Any]:
    least, most = schema.get("minimum"), schema.get("maximum")
    match kind:
        case "string" if "format" in schema and schema["format"] in FORMATS:
            return FORMATS[schema["format"]]
        case "string" if "pattern" in schema:
            return st.from_regex(schema["pattern"], alphabet=st.characters(codec="utf-8")).filter(
                jsonschema_rs.validator_for(schema).is_valid
            )
        case "string":
            return st.text(max_size=20)
        case "integer":
            return st.integers(
                INT64[0] if least is None else least, INT64[-1] if most is None else most
            )
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False) | st.integers()
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case _:
            return st.recursive(st.none() | st.text(max_size=5), st.lists, max_leaves=3)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
@given(data=st.data())
def test_a_value_that_is_described_is_accepted_and_read_as_described(
    column: Column, data: st.DataObject
) -> None:
    value = data.draw(values_of(written_schema(column)))
    if column.kind is Kind.REAL and isinstance(value, int) and abs(value) > 10**300:
        return  # no float is as large
    columns = Columns([column])
    stored = columns.new_row(columns.convert({"id": "a", column.name: value}))
    sent = columns.spelling.numbers(stored)[column.name]
    as_json = float(sent) if column.kind is Kind.DECIMAL and sent is not None else sent
    assert jsonschema_rs.is_valid(read_schema(column), as_json), (value, stored)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
@given(data=st.data())
def test_an_operand_that_is_described_is_accepted(column: Column, data: st.DataObject) -> None:
    value = data.draw(values_of(operand_schema(column)))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    parse({column.name: [text]}, Columns([column]), "refuse")


def test_what_is_not_of_the_kind_is_not_described() -> None:
    integer = Column("n", Kind.INTEGER, nullable=False, default=3)
    schema = written_schema(integer)
    assert schema["default"] == 3
    wrongs: list[Any] = [None, 1.5, "x", 2**63, [], {}]
    for wrong in wrongs:
        assert not jsonschema_rs.is_valid(schema, wrong)
    assert jsonschema_rs.is_valid(schema, "-12")
