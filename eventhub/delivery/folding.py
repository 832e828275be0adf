"""Folding: a snapshot and what has happened since, as the rows of today.

What was acknowledged before a client came is told to it as rows. A snapshot that it shares may be
older: then what happened since must not concern its rows, or only add rows at the end.
"""

from collections.abc import Iterable

import msgspec

from eventhub.delivery.view import View
from eventhub.event import StoredEvent
from eventhub.filters.query import Query


class Folding:
    """What events after a snapshot add to the rows of a view."""

    def __init__(self, view: View, after: int) -> None:
        self._view = view
        self._after = after
        self._added: dict[str, StoredEvent] = {}

    def add(self, events: Iterable[StoredEvent]) -> bool:
        """Take the next events; False if the snapshot is not of today's rows any more.

        That is so if a row was changed that it has or should have, and for rows in an order or
        a number that was asked for.
        """
        for stored in events:
            if not self._view.tells(stored):
                continue
            if stored.created <= self._after or self._view.query.is_shaped:
                return False
            row = stored.event.row
            if row is not None and self._view.query.filter.matches(row):
                self._added[stored.event.id] = stored
            else:
                self._added.pop(stored.event.id, None)
        return True

    def rows(self, *, sequenced: bool) -> list[bytes]:
        """Return the rows that were added, in order of creation, as a snapshot has them."""
        added = sorted(self._added.values(), key=lambda stored: stored.created)
        return [_row(stored, self._view.query, sequenced=sequenced) for stored in added]


def _row(stored: StoredEvent, query: Query, *, sequenced: bool) -> bytes:
    row = stored.event.row or {}
    head = {"_method": "POST", "_seq": stored.sequence} if sequenced else {}
    found = {**head, **{name: row.get(name) for name in query.columns}}
    return msgspec.json.encode(query.spelling.spell(found) if query.spelling else found)
