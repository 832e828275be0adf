"""Parameters are found in their order, and take the values that a client binds."""

from typing import Any

import pyarrow as pa
import pytest

from eventhub.errors import Rejected
from projections.flight.parameters import names_of, values_of


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?", (*"123456789", "10")),
        ("SELECT $2, $1", ("1", "2")),
        ("SELECT $b, $a, $B", ("b", "a")),
        ("SELECT $ab, $a", ("ab", "a")),
        ("SELECT '$a', $$ $b $$", ()),
        ("SELECT FROM $a", ()),
        ("SELECT 1", ()),
        ("SELECT $a" + " " * 100_000, ()),
    ],
)
def test_parameters_are_named_in_the_order_of_their_first_use(
    sql: str, names: tuple[str, ...]
) -> None:
    assert names_of(sql) == names


def bound(*rows: dict[str, Any]) -> list[pa.RecordBatch]:
    batches: list[pa.RecordBatch] = pa.Table.from_pylist(list(rows)).to_batches()
    return batches


def test_values_go_by_name_if_names_fit_and_else_by_order() -> None:
    assert values_of(bound({"b": 1, "a": 2}), ("a", "b")) == {"a": 2, "b": 1}
    assert values_of(bound({"0": 1, "1": 2}), ("a", "b")) == {"a": 1, "b": 2}
    assert values_of(bound({"2": 1, "1": 2}), ("1", "2")) == {"1": 2, "2": 1}


@pytest.mark.parametrize(
    ("batches", "words"),
    [
        ([], "one row of values to a query, not 0"),
        (bound({"0": 1}, {"0": 2}), "one row of values to a query, not 2"),
        (bound({"0": 1, "1": 2}), "has 1 parameters, and got 2 values"),
    ],
)
def test_what_cannot_be_bound_is_refused(batches: list[pa.RecordBatch], words: str) -> None:
    with pytest.raises(Rejected, match=words):
        values_of(batches, ("a",))


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (float("nan"), pa.float64(), "nan"),
        (1_500_000, pa.duration("us"), "1500000 microseconds"),
        (1, pa.timestamp("ns"), "1970-01-01T00:00:00"),
        ([[1, None]], pa.list_(pa.list_(pa.int8())), [[1, None]]),
        ({"a": b"x"}, pa.struct({"a": pa.binary()}), {"a": "\\x78"}),
    ],
)
def test_a_value_without_a_word_in_json_goes_as_text(
    value: object, kind: pa.DataType, text: object
) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([value], kind)], ["0"])
    assert values_of([batch], ("a",)) == {"a": text}
