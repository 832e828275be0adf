"""Verify: prove that the tables match the log, by deriving their rows from it again.

The events are folded in Python, from the log alone, and compared with the rows that DuckDB returns,
so the proof shares no code with the fold that it checks. Each row of the history is compared with
its event, and each sequence that the log has assigned must be there. It takes about 100 bytes of
memory for each current row.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from eventhub.columns import Columns
from eventhub.event import StoredEvent
from eventhub.stream import EventStream
from projections.backlog import OnProgress, read_to_end
from projections.listing import Listing, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place where the tables, or the log itself, are wrong."""

    table: str
    """`<table>`, `<table>_history`, or `log`."""
    id: str | None = None
    """Of the row; None for a gap in the log, as the ids are lost with the events."""
    sequence: int | None
    """Of the row's last event, or of the event: the one in the log, if the log has it."""
    column: str | None = None
    """The column that differs; None if a whole row is wrong, as `what` says."""
    log: Any = None
    """The column's value according to the log."""
    held: Any = None
    """The column's value in the table."""
    what: str = "differs"


OnDifference = Callable[[Difference], None]
DOUBLE = "is there more than once"
FORGED = "is in the table, not in the log"


@dataclass(slots=True)
class Report:
    """The result of a comparison."""

    channel: str
    sequence: int
    """The current rows are compared at this sequence, the watermark of the table."""
    head: int
    """The history is compared up to here."""
    same_epoch: bool
    """False: the tables belong to a stream that is gone, and a projector would rebuild them."""
    rows: int = 0
    """Current rows according to the log."""
    events: int = 0
    """Events according to the log."""
    different: int = 0
    """Number of differences."""

    @property
    def is_equal(self) -> bool:
        """Tell whether the log is complete and the tables match it."""
        return self.same_epoch and not self.different


async def verify(
    listing: Listing, stream: EventStream, on_difference: OnDifference, on_progress: OnProgress
) -> Report:
    """Compare a channel's tables with its stream; the projector may run at the same time.

    Args:
        listing: the tables at one moment.
        stream: the channel's log.
        on_difference: called with each difference as it is found.
        on_progress: called with the progress.

    Raises:
        Unavailable: the stream does not deliver its events, or the tables cannot be read.
    """
    progress = listing.progress
    same_epoch = progress.epoch in (stream.epoch, "")  # without any: nothing was projected yet
    report = Report(stream.channel.name, progress.watermark, progress.head, same_epoch)
    if same_epoch:  # otherwise every row differs, which says nothing more
        proof = _Proof(report, stream, on_difference)
        async with aclosing(_flat(listing.history())) as history:
            await proof.compare_history(history, on_progress)
        async with aclosing(_flat(listing.current())) as current:
            await proof.compare_current(current)
    return report


async def _flat(chunks: AsyncIterator[list[Row]]) -> AsyncGenerator[Row, None]:
    async for chunk in chunks:
        for row in chunk:
            yield row


class _Proof:
    """One comparison."""

    def __init__(self, report: Report, stream: EventStream, on_difference: OnDifference) -> None:
        self._report = report
        self._stream = stream
        self._on_difference = on_difference
        self._current: dict[str, tuple[int, bytes] | None] = {}
        """By id, the row's last sequence and the digest of the row that the table must hold; None
        once the row was found."""
        self._next = 1
        """The next sequence that the log must have."""

    def _add(self, difference: Difference) -> None:
        self._report.different += 1
        self._on_difference(difference)

    # --- History --------------------------------------------------------------------------------

    async def compare_history(self, history: AsyncIterator[Row], on_progress: OnProgress) -> None:
        """Go through log and history in parallel; fold the log to current rows on the way."""
        table = f"{self._report.channel}_history"
        end = await self._stream.end()
        row, last = await anext(history, None), 0
        async with aclosing(read_to_end(self._stream, on_progress)) as batches:
            async for batch in batches:
                for sealed in batch:
                    self._note_gap(sealed.sequence)
                    event = StoredEvent.read(
                        sealed.sequence, sealed.payload, self._stream.channel.columns
                    )
                    self._fold(event)
                    if event.sequence > self._report.head:
                        continue
                    self._report.events += 1
                    while row is not None and (row.sequence or 0) < event.sequence:
                        self._surplus(table, row, last)
                        row = await anext(history, None)
                    if row is None or row.sequence != event.sequence:
                        self._missing(table, event.event.id, event.sequence)
                        continue
                    expected = _as_history(event, self._stream.channel.columns)
                    self._compare(table, event.event.id, event.sequence, expected, row)
                    last, row = event.sequence, await anext(history, None)
        self._note_gap(end + 1)
        while row is not None:
            self._surplus(table, row, last)
            row = await anext(history, None)
        self._report.rows = len(self._current)

    def _note_gap(self, sequence: int) -> None:
        """Report the sequences before this one that the log has assigned but does not hold."""
        if sequence > self._next:
            first, last = self._next, sequence - 1
            which = "the event is" if first == last else f"the events up to {last} are"
            what = f"{which} missing or damaged"
            self._report.different += last - first
            self._add(Difference(table="log", sequence=first, what=what))
        self._next = max(self._next, sequence + 1)

    def _surplus(self, table: str, row: Row, last: int) -> None:
        is_double = row.sequence is not None and row.sequence == last
        what = DOUBLE if is_double else FORGED
        row_id = row.values.get("id")
        self._add(Difference(table=table, id=row_id, sequence=row.sequence, what=what))

    def _missing(self, table: str, row_id: str, sequence: int) -> None:
        self._add(Difference(table=table, id=row_id, sequence=sequence, what="is missing"))

    # --- Current rows ---------------------------------------------------------------------------

    def _fold(self, event: StoredEvent) -> None:
        if event.sequence > self._report.sequence:
            return
        if event.event.row is None:
            self._current.pop(event.event.id, None)
        else:
            self._current[event.event.id] = (event.sequence, digest(_as_current(event)))

    async def compare_current(self, rows: AsyncIterator[Row]) -> None:
        """Compare the current rows with those that the log was folded to."""
        table = self._report.channel
        async for row in rows:
            row_id: Any = row.values.get("id")
            expected = self._current.get(row_id)
            if expected is None:
                what = DOUBLE if row_id in self._current else FORGED
                self._add(Difference(table=table, id=row_id, sequence=row.sequence, what=what))
                continue
            self._current[row_id] = None
            sequence, wanted = expected
            if row.sequence != sequence or digest(row.values) != wanted:
                await self._compare_with_event(table, sequence, row)
        for row_id, unseen in self._current.items():
            if unseen is not None:
                self._missing(table, row_id, unseen[0])

    async def _compare_with_event(self, table: str, sequence: int, row: Row) -> None:
        event = await self._stream.get(sequence)
        if event is None:  # erased since it was folded
            self._missing("log", str(row.values.get("id")), sequence)
            return
        self._compare(table, event.event.id, sequence, _as_current(event), row)

    def _compare(
        self, table: str, row_id: str, sequence: int, expected: dict[str, Any], row: Row
    ) -> None:
        """Report each column whose value differs."""
        found = row.values
        if row.sequence == sequence and digest(expected) == digest(found):
            return
        sides = [("_seq", sequence, row.sequence)]
        sides += [(name, value, found.get(name)) for name, value in expected.items()]
        for column, log, held in sides:
            if encoded(log) != encoded(held):
                self._add(
                    Difference(
                        table=table,
                        id=row_id,
                        sequence=sequence,
                        column=column,
                        log=log,
                        held=held,
                    )
                )


def _as_current(stored: StoredEvent) -> dict[str, Any]:
    """Return the row that the current table must hold after an event that left one."""
    row = stored.event.row or {}
    return {**row, "_created_seq": stored.created, "_time": stored.event.time}


def _as_history(stored: StoredEvent, columns: Columns) -> dict[str, Any]:
    """Return the row that the history must hold of an event: for a DELETE, only the id."""
    event = stored.event
    return {
        **(dict.fromkeys(columns.names) if event.row is None else event.row),
        "id": event.id,
        "_created_seq": stored.created,
        "_time": event.time,
        "_method": event.method,
        "_user": event.user,
        "_endpoint": event.endpoint,
    }


def encoded(value: Any) -> bytes:
    """Return JSON, which tells 1, 1.0 and True apart."""
    return msgspec.json.encode(value, order="sorted")


def digest(values: dict[str, Any]) -> bytes:
    """Return what is equal only for equal values."""
    return blake2b(encoded(values), digest_size=16).digest()
