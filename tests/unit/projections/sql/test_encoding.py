"""A result of any type is written in every format, and says the same in each."""

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.queries import Format
from projections.sql.encoding import distinct, writer_of

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.none() | st.text(),
            "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
            "real": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "exact": st.none() | st.decimals(-9999, 9999, places=2),
            "flag": st.none() | st.booleans(),
            "day": st.none() | st.dates(),
            "at": st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001
            "list": st.none() | st.lists(st.integers(0, 9), max_size=3),
        }
    ),
    max_size=20,
)
SCHEMA = pa.schema(
    {
        "text": pa.string(),
        "whole": pa.int64(),
        "real": pa.float64(),
        "exact": pa.decimal128(10, 2),
        "flag": pa.bool_(),
        "day": pa.date32(),
        "at": pa.timestamp("us"),
        "list": pa.list_(pa.int64()),
    }
)


def written(name: Format, *batches: pa.Table, documents: frozenset[int] = frozenset()) -> bytes:
    """Return batches in a format."""
    file = io.BytesIO()
    writer = writer_of(name, file, batches[0].schema, documents)
    for batch in batches:
        writer.write(batch)
    writer.close()
    return file.getvalue()


def of_query(sql: str) -> pa.Table:
    """Return what DuckDB gives for a query."""
    with duckdb.connect() as connection:
        return connection.sql(sql).to_arrow_table()


@given(ROWS, st.integers(0, 20))
def test_every_format_has_the_same_rows_however_they_are_cut(
    rows: list[dict[str, object]], cut: int
) -> None:
    table = pa.Table.from_pylist(rows, SCHEMA)
    parts = [part for part in (table.slice(0, cut), table.slice(cut)) if len(part)] or [table]
    found = json.loads(written("json", *parts) if rows else written("json", table.slice(0, 0)))
    expected = [
        {
            **row,
            "exact": None if row["exact"] is None else float(str(row["exact"])),
            "day": None if row["day"] is None else str(row["day"]),
            "at": None if row["at"] is None else row["at"].isoformat(),  # type: ignore[attr-defined]
        }
        for row in rows
    ]
    assert found == expected
    if rows:
        lines = written("ndjson", *parts).decode().split("\n")
        assert [json.loads(line) for line in lines[:-1]] == expected
        arrow = pa.ipc.open_stream(written("arrow", *parts)).read_all()
        parquet = pyarrow.parquet.read_table(io.BytesIO(written("parquet", *parts)))
        assert arrow.to_pylist() == parquet.to_pylist() == table.to_pylist()
        read = list(csv.reader(io.StringIO(written("csv", *parts).decode(), newline="")))
        assert read[0] == SCHEMA.names
        assert [row[0] for row in read[1:]] == [row["text"] or "" for row in rows]


def test_an_empty_result_is_a_whole_file_in_every_format() -> None:
    empty = SCHEMA.empty_table()
    assert json.loads(written("json", empty)) == []
    assert len(written("csv", empty).splitlines()) == 1
    assert len(pa.ipc.open_stream(written("arrow", empty)).read_all()) == 0
    assert len(pyarrow.parquet.read_table(io.BytesIO(written("parquet", empty)))) == 0


def test_arrow_comes_in_few_batches_of_which_none_is_large() -> None:
    small = pa.concat_tables(pa.table({"n": list(range(i, i + 200))}) for i in range(0, 2000, 200))
    large = pa.table({"n": range(40), "text": ["x" * (1 << 20)] * 40})
    assert len(pa.ipc.open_stream(written("arrow", small)).read_all().to_batches()) == 1
    batches = pa.ipc.open_stream(written("arrow", large)).read_all().to_batches()
    assert max(batch.nbytes for batch in batches) <= 4 << 20
    assert [n for batch in batches for n in batch["n"].to_pylist()] == list(range(40))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("'NaN'::DOUBLE", None),
        ("'Infinity'::DOUBLE", None),
        ("1.10::DECIMAL(10,2)", 1.1),
        ("170141183460469231731687303715884105727::HUGEINT", 2**127 - 1),
        ("TIMESTAMPTZ '2026-01-02 03:04:05+01'", "2026-01-02T02:04:05Z"),
        ("TIMESTAMP_NS '2026-01-02 03:04:05.123456789'", "2026-01-02T03:04:05.123456"),
        ("DATE '2026-01-02'", "2026-01-02"),
        ("TIME '03:04:05'", "03:04:05"),
        ("'\\xAA\\xBB'::BLOB", "qrs="),
        ("{'a': [1, NULL], 'b': 'x'}", {"a": [1, None], "b": "x"}),
        ("MAP {'k': 1}", [["k", 1]]),
        ("'a'::ENUM ('a', 'b')", "a"),
        ("uuid '00000000-0000-0000-0000-000000000001'", "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_json_has_a_value_for_every_type(sql: str, expected: object) -> None:
    table = of_query(f"SET TimeZone = 'UTC'; SELECT {sql} AS v")
    assert json.loads(written("json", table)) == [{"v": expected}]


def test_a_json_column_is_json_and_not_its_text() -> None:
    table = pa.table({"v": ['{"a": 1.10}', "[1,\n2]", None]})
    text = written("ndjson", table, documents=frozenset([0])).decode()
    assert text == '{"v":{"a": 1.10}}\n{"v":[1,2]}\n{"v":null}\n'


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", " =1"])
def test_safe_csv_has_no_formulas(text: str) -> None:
    table = pa.table({text: [text]})
    read = list(csv.reader(io.StringIO(written("safe csv", table).decode(), newline="")))
    assert read == [[f"'{text}"], [f"'{text}"]]
    assert written("safe csv", pa.table({"n": [-1]})) == b"n\r\n-1\r\n"


@given(st.lists(st.sampled_from(["a", "a_2", "a_3", "b"])))
def test_names_are_made_distinct_and_the_first_ones_stay(names: list[str]) -> None:
    found = distinct(names)
    assert len(set(found)) == len(found) == len(names)
    assert [f for f, n in zip(found, names, strict=True) if f == n] or not names


def test_values_of_python_survive() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    table = pa.table({"d": [Decimal("1.50")], "t": [moment], "x": [date(2026, 1, 2)]})
    assert json.loads(written("json", table)) == [
        {"d": 1.5, "t": "2026-01-02T00:00:00Z", "x": "2026-01-02"}
    ]
