"""Mirror verify: prove that the table in another database is what the log says.

As `projections.verify`, the events are folded in Python, from the log alone, and compared with what
the database holds; no code is shared with what wrote it.
"""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

from eventhub.event import StoredEvent
from eventhub.stream import EventStream
from projections.backlog import OnProgress, read_to_end
from projections.mirror_table import MirrorTable
from projections.verify import DOUBLE, FORGED, Difference, OnDifference, Report, digest, encoded


async def verify_mirror(
    table: MirrorTable, stream: EventStream, on_difference: OnDifference, on_progress: OnProgress
) -> Report:
    """Compare a mirror with its log, as of the event that the database says it has.

    The hub may run meanwhile. Memory: about 200 bytes for each current row.

    Raises:
        MirrorFailed: the database cannot be read.
        Unavailable: the log cannot be read.
    """
    listing = table.listing()
    standing, rows = await asyncio.to_thread(listing.__enter__)
    try:
        head, same_epoch = standing.head, standing.epoch == stream.epoch
        report = Report(f"{table.channel.name} mirror", head, head, same_epoch)
        if same_epoch:
            await _Proof(table, stream, report, on_difference).compare(rows, on_progress)
        return report
    finally:
        await asyncio.to_thread(listing.__exit__, None, None, None)


class _Proof:
    """One comparison."""

    def __init__(
        self, table: MirrorTable, stream: EventStream, report: Report, on_difference: OnDifference
    ) -> None:
        self._table = table
        self._stream = stream
        self._report = report
        self._on_difference = on_difference
        self._unseen: dict[str, tuple[int, bytes]] = {}
        """By id, the sequence of the row's last event and the digest of the row."""
        self._seen: dict[str, int] = {}

    async def compare(self, rows: Iterator[list[dict[str, Any]]], on_progress: OnProgress) -> None:
        """Fold the log, and compare what it comes to with rows."""
        await self._fold(on_progress)
        self._report.rows = len(self._unseen)
        while chunk := await asyncio.to_thread(next, rows, None):
            for row in chunk:
                await self._compare(row)
        for row_id, (sequence, _) in self._unseen.items():
            self._add(row_id, sequence, what="is missing")

    async def _fold(self, on_progress: OnProgress) -> None:
        async with aclosing(read_to_end(self._stream, on_progress)) as batches:
            async for batch in batches:
                for sealed in batch:
                    if sealed.sequence > self._report.head:
                        return
                    columns = self._stream.channel.columns
                    event = StoredEvent.read(sealed.sequence, sealed.payload, columns).event
                    self._report.events += 1
                    if event.row is None:
                        self._unseen.pop(event.id, None)
                    else:
                        row = self._table.values.kept(event.row)
                        self._unseen[event.id] = (sealed.sequence, digest(row))

    async def _compare(self, row: dict[str, Any]) -> None:
        row_id = row["id"]
        if row_id not in self._unseen:
            what = DOUBLE if row_id in self._seen else FORGED
            self._add(row_id, self._seen.get(row_id), what=what)
            return
        sequence, wanted = self._unseen.pop(row_id)
        self._seen[row_id] = sequence
        if digest(row) == wanted:
            return
        stored = await self._stream.get(sequence)
        expected = {} if stored is None else self._table.values.kept(stored.event.row or {})
        for column, value in expected.items():
            if encoded(value) != encoded(row[column]):
                self._add(row_id, sequence, column=column, log=value, held=row[column])

    def _add(self, row_id: object, sequence: int | None, **facts: Any) -> None:
        self._report.different += 1
        named = None if row_id is None else str(row_id)
        difference = Difference(table=self._report.channel, id=named, sequence=sequence, **facts)
        self._on_difference(difference)
