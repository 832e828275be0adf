"""Segment file: sealed events as Parquet, which DuckDB and any other reader of Parquet can open."""

from collections.abc import Sequence
from io import BytesIO
from typing import Final

import msgspec
import pyarrow as pa
from pyarrow import parquet

from eventhub.channel import Channel
from eventhub.errors import Damaged
from eventhub.segments import Original

SCHEMA: Final = pa.schema(
    [
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("time", pa.timestamp("ns", tz="UTC"), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("payload", pa.binary(), nullable=False),
    ]
)


class Row(msgspec.Struct, frozen=True):
    """Which row an event is about, and what it does to it."""

    id: str
    method: str


_ROW = msgspec.json.Decoder(Row)


class ParquetSegments:
    """The format of segments; see `eventhub.segments.SegmentFormat`."""

    def encode(self, events: Sequence[Original], channel: Channel) -> bytes:
        """Return a Parquet file with events."""
        columns = [
            pa.array([event.sequence for event in events], pa.int64()),
            pa.array([event.nanoseconds for event in events], pa.timestamp("ns", tz="UTC")),
            pa.array([channel.subject(read_row(event).id) for event in events], pa.string()),
            pa.array([event.payload for event in events], pa.binary()),
        ]
        file = BytesIO()
        parquet.write_table(
            pa.Table.from_arrays(columns, schema=SCHEMA),
            file,
            compression="zstd",
            write_page_checksum=True,
        )
        return file.getvalue()

    def decode(self, data: bytes) -> list[Original]:
        """Return the events of a Parquet file."""
        try:
            table = parquet.read_table(pa.BufferReader(data), page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise Damaged(f"a segment cannot be read: {error}") from None
        if table.schema.names != SCHEMA.names:
            raise Damaged(f"a segment has the columns {', '.join(table.schema.names)}")
        times = table.column("time").cast(pa.int64()).to_pylist()
        sequences, payloads = (table.column(n).to_pylist() for n in ("sequence", "payload"))
        return [Original(*each) for each in zip(sequences, times, payloads, strict=True)]


def read_row(event: Original) -> Row:
    """Return which row an event is about.

    Raises:
        Damaged: it is not an event.
    """
    try:
        return _ROW.decode(event.payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"event {event.sequence} is not an event: {error}") from None
