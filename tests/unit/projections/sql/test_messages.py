"""What the hub says to the process of a SQLHandler arrives as it was said."""

import msgspec
import pytest

from eventhub.columns import Columns
from eventhub.errors import CODES
from projections.sql.messages import Query, Refusal, Result, Setup, Table
from tests.projecting import EVERY_KIND


def setup() -> Setup:
    return Setup(
        name="ask",
        folder="/data/sql/ask",
        tables=[Table(EVERY_KIND.name, list(EVERY_KIND.columns))],
        servers=["nats://127.0.0.1:4222"],
        token="secret",
        seconds=30,
        rows=1000,
        memory_bytes=1 << 30,
    )


def test_the_process_has_the_columns_of_the_hub() -> None:
    """A column that lost its type or digits on the way would change every row."""
    read = msgspec.json.decode(msgspec.json.encode(setup()), type=Setup)
    assert read == setup()
    assert Columns(read.tables[0].columns).signature == EVERY_KIND.columns.signature


@pytest.mark.parametrize("value", [None, True, 2**53 + 1, -1, "é\n", [1, {"a": None}]])
def test_a_parameter_keeps_its_value_and_the_message_its_line(value: object) -> None:
    query = Query(
        sql="SELECT\n$x", parameters={"x": value}, format="json", at_least="", rows=1, file="f"
    )
    line = msgspec.json.encode(query)
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=Query) == query


@pytest.mark.parametrize("code", ["bad_sql", "too_costly", "unavailable"])
def test_a_refusal_keeps_its_code_and_column(code: str) -> None:
    assert code in CODES
    result = Result(refused=Refusal(code, "why", "min_seq"))
    assert msgspec.json.decode(msgspec.json.encode(result), type=Result) == result
