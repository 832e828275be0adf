"""Selection: which rows and events an export is of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from eventhub.channel import Channel
from eventhub.columns import times
from eventhub.errors import Rejected
from eventhub.event import Sealed, StoredEvent
from eventhub.filters.arguments import Control, meaning_of, parse_query_string
from eventhub.filters.conditions import EVERYTHING, Filter
from eventhub.filters.query import parse
from projections.columnar import EventsAsArrow
from projections.manifest import Scope

PIECE_EVENTS = 2_000
"""Converted at once: a hub that archives must not keep its clients waiting meanwhile."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events are exported."""

    filter: Filter = EVERYTHING
    """The row before or after matches it."""
    since: datetime | None = None
    until: datetime | None = None
    """Without a zone, in UTC; `until` itself is left out."""

    @classmethod
    def of(cls, scope: Scope, channel: Channel) -> "Selection":
        """Return what a scope selects.

        Raises:
            Rejected: `bad_filter`, `bad_request`: a condition or a time cannot be understood.
        """
        since, until = (_moment(name, getattr(scope, name)) for name in ("since", "until"))
        return cls(conditions(scope.where, channel), since, until)

    def table(self, convert: EventsAsArrow, batch: Sequence[Sealed]) -> pa.Table:
        """Return those of some events that are selected, in their order."""
        pieces = [batch[at : at + PIECE_EVENTS] for at in range(0, len(batch), PIECE_EVENTS)]
        tables = [convert.table(self._matching(piece, convert.channel)) for piece in pieces]
        return self.narrow(pa.concat_tables(tables))

    def narrow(self, table: pa.Table) -> pa.Table:
        """Return the rows of a table whose `_time` is selected."""
        bounds = ((pc.greater_equal, self.since), (pc.less, self.until))
        for compare, moment in bounds:
            if moment is not None:
                bound = pa.scalar(moment.replace(tzinfo=UTC), table.schema.field("_time").type)
                table = table.filter(compare(table["_time"], bound))
        return table

    def _matching(self, batch: Sequence[Sealed], channel: Channel) -> Sequence[Sealed]:
        """Return the events whose row matched before or after them, as history tells them."""
        if not self.filter.conditions:
            return batch
        columns, matches = channel.columns, self.filter.matches
        events = (StoredEvent.read(each.sequence, each.payload, columns) for each in batch)
        return [
            stored
            for stored in events
            if any(row is not None and matches(row) for row in (stored.before, stored.event.row))
        ]


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return times.beginning(text)
    except (ValueError, OverflowError):
        message = f"--{name}: {text!r} is no time, as 2026-11-30 or 2026-11-30T10:30:00Z"
        raise Rejected("bad_request", message) from None


def conditions(where: str, channel: Channel) -> Filter:
    args = parse_query_string(where)
    for key in args:
        if isinstance(meaning_of(key, channel.columns), Control):
            raise Rejected("bad_filter", f"--where has conditions only, not {key}", column=key)
    return parse(args, channel.columns, "refuse").filter
