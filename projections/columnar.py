"""Columnar: events and rows of a channel as Arrow tables whose types are those of its columns.

Names that begin with `_` are ours, as in DuckDB's tables; an event has more of them than its line
of the history, so that from what was exported the same event can be made again (ADR-53).
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from eventhub.channel import Channel
from eventhub.columns import Column, Kind
from eventhub.event import Sealed, SealedEvent, plain
from projections.tables import Tables, as_arrow

INSTANT = pa.timestamp("us", tz="UTC")
_TYPES = {
    Kind.TEXT: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.REAL: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.DATE: pa.date32(),
    Kind.TIMESTAMP: pa.timestamp("us"),
    Kind.TIMESTAMPTZ: INSTANT,
    Kind.JSON: pa.string(),
}
"""All but DECIMAL, which has its digits. Of JSON it is the text."""
ROW_OWN = {"_seq": pa.int64(), "_created_seq": pa.int64(), "_time": INSTANT}
"""After the columns of a row: of its last event, of the one that created it, when the last was."""
EVENT_OWN = {
    **ROW_OWN,
    "_method": pa.string(),
    "_user": pa.string(),
    "_endpoint": pa.string(),
}
"""Before the columns of the row after an event."""
EVENT_REST = {
    "_was": pa.string(),
    "_message": pa.string(),
    "_broadcast": pa.string(),
    "_write": pa.string(),
    "_asked": pa.string(),
    "_alert": pa.bool_(),
}
"""After them: what else the log holds, objects as JSON."""
DOCUMENTS = ("_was", "_message", "_broadcast")
"""What of it is JSON."""


def type_of(column: Column) -> pa.DataType:
    """Return the Arrow type of a column."""
    if column.digits is not None:
        return pa.decimal128(*column.digits)
    return _TYPES[column.kind]


def row_schema(channel: Channel) -> pa.Schema:
    """Return the types of a channel's rows."""
    return pa.schema([*_row(channel), *ROW_OWN.items()])


def event_schema(channel: Channel) -> pa.Schema:
    """Return the types of a channel's events."""
    return pa.schema([*EVENT_OWN.items(), *_row(channel), *EVENT_REST.items()])


def _row(channel: Channel) -> list[tuple[str, pa.DataType]]:
    return [(column.name, type_of(column)) for column in channel.columns]


class EventsAsArrow:
    """Makes Arrow tables of payloads, by a DuckDB in memory. Not for two threads at a time."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.schema = event_schema(channel)
        self._sql = Tables(channel).select_events("batch")
        self._connection = duckdb.connect(config={"threads": 1, "enable_external_access": False})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._connection.close()

    def table(self, batch: Sequence[Sealed]) -> pa.Table:
        """Return events, in their order, as a table of `schema`."""
        whole = [SealedEvent(event.sequence, plain(event.payload)) for event in batch]
        self._connection.register("batch", as_arrow(whole))
        try:
            return self._connection.sql(self._sql).to_arrow_table().cast(self.schema)
        finally:
            self._connection.unregister("batch")
