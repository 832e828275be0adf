"""A segment file gives back the very bytes of its events, or an error."""

from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.errors import Damaged
from eventhub.event import encode
from eventhub.segments import Original
from projections.segment_file import ParquetSegments, read_row
from tests.builders import channel, make_event

FORMAT = ParquetSegments()
EVENTS = [
    Original(n, 1_767_225_600_000_000_000 + n, encode(make_event(id=f"row {n}"))) for n in (1, 2, 4)
]


@given(st.lists(st.tuples(st.integers(1, 2**62), st.integers(0, 2**62), st.text()), min_size=1))
def test_each_event_is_read_as_it_was_written(drawn: list[tuple[int, int, str]]) -> None:
    events = [
        Original(
            sequence,
            at,
            encode(make_event(message={"text": text.encode("utf-8", "replace").decode()})),
        )
        for sequence, at, text in drawn
    ]
    assert FORMAT.decode(FORMAT.encode(events, channel())) == events


def test_duckdb_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    path.write_bytes(FORMAT.encode(EVENTS, channel()))
    sql = f"SELECT sequence, subject FROM '{path}'"
    found = duckdb.execute(sql).fetchall()
    assert found == [(n, channel().subject(f"row {n}")) for n in (1, 2, 4)]


def test_a_flipped_bit_is_an_error_or_changes_nothing() -> None:
    data = FORMAT.encode(EVENTS, channel())
    for at in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[at] ^= 1
        try:
            found = FORMAT.decode(bytes(damaged))
        except Damaged:
            continue
        assert [event.payload for event in found] == [event.payload for event in EVENTS]


def test_another_file_is_refused() -> None:
    with pytest.raises(Damaged):
        FORMAT.decode(b"PAR1 but no more")


def test_a_payload_without_a_row_is_refused() -> None:
    with pytest.raises(Damaged, match="event 7"):
        read_row(Original(7, 0, b"{}"))
