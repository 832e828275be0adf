"""Verify: prove that a projection equals the log, by deriving its rows from the events again.

The rows are folded in Python, from the events alone, and compared with what DuckDB serves, so the
proof shares no code with the fold that it checks. Memory: 100 bytes or so for each current row.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import duckdb
import msgspec

from eventhub.event import StoredEvent
from eventhub.stream import EventStream
from projections.pages import row_json
from projections.projector import Told, read_to_end
from projections.reader import Reader
from projections.snapshot import CHUNK_ROWS, watermark
from projections.store import Store
from projections.tables import Tables

MAX_DIFFERENCES = 100
"""Described one by one; further ones are only counted."""


class Difference(NamedTuple):
    """One row that is not what the events say."""

    id: str
    sequence: int
    """Of the row's last event: in the log, or in the table if the log has no such row."""
    what: str


@dataclass(slots=True)
class Report:
    """What a comparison found."""

    channel: str
    sequence: int
    """The comparison is of all events up to here: what the current table says it holds."""
    same_epoch: bool
    """False: the tables are of a stream that is gone; a projector would build them anew."""
    rows: int = 0
    """Current rows, by the log."""
    events: int = 0
    """Events, by the log."""
    history_rows: int = 0
    """Events, by the history table."""
    different: int = 0
    """Rows that differ, all of them."""
    differences: list[Difference] = field(default_factory=list)
    """The first of them."""

    @property
    def is_equal(self) -> bool:
        """Tell whether the projection is what its log says."""
        return self.same_epoch and not self.different and self.events == self.history_rows

    def add(self, row_id: str, sequence: int, what: str) -> None:
        """Count a difference, and keep it if it is among the first."""
        self.different += 1
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(Difference(row_id, sequence, what))


class _Row(NamedTuple):
    """What is remembered and compared of a row."""

    sequence: int
    created: int
    digest: bytes
    """Of the columns' values."""


async def verify(store: Store, stream: EventStream, told: Told) -> Report:
    """Compare a channel's tables with its stream. The projector may run meanwhile.

    Raises:
        Unavailable: the stream does not deliver its events, or the store cannot be read.
    """
    tables = store.tables[stream.channel.name]
    async with store.reader() as reader:
        sequence = await store.read(reader, lambda connection: watermark(connection, tables))
        same_epoch = store.progress(stream.channel.name).epoch == stream.epoch
        report = Report(stream.channel.name, sequence, same_epoch)
        expected = await _expected(stream, report, told)
        async for row_id, found in _found(store, reader, tables):
            _compare(report, row_id, expected.pop(row_id, None), found)
        for row_id, missing in expected.items():
            report.add(row_id, missing.sequence, "is missing")
        report.history_rows = await store.read(reader, lambda c: _history_rows(c, tables, sequence))
    return report


async def _expected(stream: EventStream, report: Report, told: Told) -> dict[str, _Row]:
    """Fold the log up to the sequence of the report."""
    rows: dict[str, _Row] = {}
    async with aclosing(read_to_end(stream, told)) as batches:
        async for batch in batches:
            for sealed in batch:
                if sealed.sequence <= report.sequence:
                    report.events += 1
                    columns = stream.channel.columns
                    _apply(rows, StoredEvent.read(sealed.sequence, sealed.payload, columns))
            if batch[-1].sequence >= report.sequence:
                break
    report.rows = len(rows)
    return rows


def _apply(rows: dict[str, _Row], stored: StoredEvent) -> None:
    if stored.event.row is None:
        rows.pop(stored.event.id, None)
    else:
        rows[stored.event.id] = _Row(stored.sequence, stored.created, _digest(stored.event.row))


async def _found(store: Store, reader: Reader, tables: Tables) -> AsyncIterator[tuple[str, _Row]]:
    """Iterate over the rows of the current table."""
    sql = (
        f"SELECT id, _seq, _created_seq, {row_json(tables, tables.columns.names)}"  # noqa: S608 - quoted
        f" FROM {tables.current}"
    )
    await store.read(reader, lambda connection: connection.execute(sql))
    while chunk := await store.read(reader, _fetch):
        for row in chunk:
            yield row


def _fetch(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, _Row]]:
    return [
        (row_id, _Row(sequence, created, _digest(msgspec.json.decode(text))))
        for row_id, sequence, created, text in connection.fetchmany(CHUNK_ROWS)
    ]


def _digest(row: dict[str, Any]) -> bytes:
    return blake2b(msgspec.json.encode(row, order="sorted"), digest_size=16).digest()


def _compare(report: Report, row_id: str, expected: _Row | None, found: _Row) -> None:
    if expected is None:
        report.add(row_id, found.sequence, "is in the table, not in the log")
    elif expected.sequence != found.sequence:
        report.add(row_id, expected.sequence, f"the table has it as of {found.sequence}")
    elif expected.created != found.created:
        report.add(row_id, expected.sequence, f"the table has it created at {found.created}")
    elif expected.digest != found.digest:
        report.add(row_id, expected.sequence, "the table has other values")


def _history_rows(connection: duckdb.DuckDBPyConnection, tables: Tables, last: int) -> int:
    [(count,)] = connection.execute(
        f"SELECT count(*) FROM {tables.history} WHERE _seq <= ?",  # noqa: S608 - quoted
        [last],
    ).fetchall()
    return int(count)
