"""Rows that come in pieces, cut anywhere, become the same Arrow and Parquet tables."""

import io
from decimal import Decimal

import msgspec
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from eventhub.columns import Column, Digits, Kind
from projections.recoding import RECODERS

COLUMNS = [
    Column('text "é"'),
    Column("n", Kind.INTEGER),
    Column("share", Kind.REAL),
    Column("price", Kind.DECIMAL, digits=Digits(38, 2)),
    Column("done", Kind.BOOLEAN),
    Column("tags", Kind.JSON),
]
CENTS = st.integers(-(10**38) + 1, 10**38 - 1).map(lambda cents: Decimal(f"{cents}E-2"))
VALUES = [
    st.text(st.characters(codec="utf-8")),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    CENTS,
    st.booleans(),
    st.lists(st.integers() | st.text(st.characters(codec="utf-8"))),
]
ROWS = st.lists(st.tuples(*(st.none() | value for value in VALUES)), max_size=8)


@given(
    rows=ROWS,
    cuts=st.lists(st.integers(1, 200), min_size=1),
    form=st.sampled_from(["arrow", "arrow_file", "parquet"]),
)
def test_a_table_is_the_same_however_its_rows_are_cut(
    rows: list[tuple[object, ...]], cuts: list[int], form: str
) -> None:
    encoder = msgspec.json.Encoder(decimal_format="number")
    names = [column.name for column in COLUMNS]
    lines = b"".join(encoder.encode(dict(zip(names, row, strict=True))) + b"\n" for row in rows)
    recoder = RECODERS[form](COLUMNS)
    parts: list[bytes] = []
    at = 0
    while at < len(lines):
        size = cuts[len(parts) % len(cuts)]
        parts.append(recoder.feed(lines[at : at + size]))
        at += size
    data = io.BytesIO(b"".join([*parts, recoder.finish()]))
    read = {
        "arrow": lambda: pa.ipc.open_stream(data).read_all(),
        "arrow_file": lambda: pa.ipc.open_file(data).read_all(),
        "parquet": lambda: parquet.read_table(data),
    }
    table = read[form]()
    found = [tuple(row.values()) for row in table.to_pylist()]
    assert [
        (*row[:5], None if row[5] is None else msgspec.json.decode(row[5])) for row in found
    ] == rows
