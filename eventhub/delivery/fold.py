"""Fold: the events since a snapshot, as rows to append to it.

A client gets as rows what was acknowledged before it came. The snapshot that it shares may be
older: it can be used as long as the events since then have at most appended rows.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from eventhub.delivery.view import View
from eventhub.event import StoredEvent
from eventhub.snapshots import RowHead


class Fold:
    """The rows that events after a snapshot append to a view's rows."""

    def __init__(self, view: View, after: int) -> None:
        self._view = view
        self._after = after
        self._added: dict[str, StoredEvent] = {}

    def add(self, events: Iterable[StoredEvent]) -> bool:
        """Fold the next events; return whether snapshot and appended rows are still current.

        They are not if an event changed a row that the snapshot has or should have, or if the view
        sorts or limits its rows.
        """
        for stored in events:
            if not self._view.concerns(stored):
                continue
            if stored.created <= self._after or self._view.query.is_shaped:
                return False
            row = stored.event.row
            if row is not None and self._view.query.filter.matches(row):
                self._added[stored.event.id] = stored
            else:
                self._added.pop(stored.event.id, None)
        return True

    def rows(self, row_head: RowHead) -> list[bytes]:
        """Return the appended rows as JSON, in order of creation, as a snapshot has them.

        Args:
            row_head: what precedes their columns.
        """
        query = self._view.query
        found = []
        for stored in sorted(self._added.values(), key=lambda stored: stored.created):
            row = stored.event.row or {}
            members = _head_of(stored, row_head) | {name: row.get(name) for name in query.columns}
            spelled = query.spelling.spell(members) if query.spelling else members
            found.append(msgspec.json.encode(spelled))
        return found


def _head_of(stored: StoredEvent, row_head: RowHead) -> dict[str, Any]:
    match row_head:
        case RowHead.SEQUENCED:
            return {"_method": "POST", "_seq": stored.sequence}
        case RowHead.PLACED:
            return {"_seq": stored.sequence, "_created": stored.created}
        case RowHead.NONE:
            return {}
