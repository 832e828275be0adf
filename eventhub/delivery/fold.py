"""Fold: the events since a snapshot, as rows to append to it.

A client gets as rows what was acknowledged before it came. Its snapshot may be older: it can be
used as long as the events since then have at most appended rows. So most readers do not wait until
DuckDB has stored what other clients write (ADR-102).
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from eventhub.delivery.view import View
from eventhub.event import StoredEvent
from eventhub.feed import Feed
from eventhub.filters.weight import live_weight
from eventhub.snapshots import RowHead

MAX_EVENTS: Final = 1000
"""Events that are folded for a client; with more, a new snapshot costs no more."""
MAX_ADDED_BYTES: Final = 256 << 10
"""Of the events whose rows are appended, because they are encoded in the event loop."""
MAX_WEIGHT: Final = 10
"""Of a filter that is applied to events instead of waiting for the tables: no search in texts."""
FEED_SECONDS: Final = 1.0
"""How long the feed may take to hand out the last event."""


class Fold:
    """The rows that events after a snapshot append to a view's rows."""

    def __init__(self, view: View, after: int) -> None:
        self._view = view
        self._after = after
        self._added: dict[str, StoredEvent] = {}
        self._bytes = 0
        """Of all events that added a row, or changed one that was added."""

    def add(self, events: Iterable[StoredEvent]) -> bool:
        """Fold the next events; return whether snapshot and appended rows are still current.

        They are not if an event changed a row that the snapshot has or should have, if the view
        sorts or limits its rows, or if much is to be appended.
        """
        for stored in events:
            if not self._view.concerns(stored):
                continue
            if stored.created <= self._after or self._view.query.is_shaped:
                return False
            self._bytes += len(stored.payload)
            if self._bytes > MAX_ADDED_BYTES:
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


async def fold_since(feed: Feed, view: View, after: int, head: int) -> Fold | None:
    """Return what the events after a snapshot append to its rows; None if it is too old.

    Args:
        feed: which has handed out the events.
        view: whose rows these are.
        after: the sequence of the snapshot.
        head: the sequence of the last event that counts.
    """
    fold = Fold(view, after)
    if after >= head:
        return fold
    if head - after > MAX_EVENTS or not feed.is_followed or feed.recent(after) is None:
        return None
    try:
        await feed.reached(head, FEED_SECONDS)
    except TimeoutError:
        return None
    position = after
    while position < head:
        events = feed.recent(position)
        if events is None:
            return None
        if not fold.add(stored for stored in events if stored.sequence <= head):
            return None
        position = events[-1].sequence if events else head
        await asyncio.sleep(0)
    return fold


async def needed_sequence(feed: Feed, view: View, stored: int, head: int) -> int:
    """Return the lowest sequence of a new snapshot from which a view's rows can be current.

    Args:
        feed: of the channel.
        view: whose rows are asked for.
        stored: the sequence that the tables have reached, so that a snapshot waits for nothing.
        head: the sequence that the rows must include.
    """
    # A past state is made from the history, which is often further than the current rows.
    if view.query.as_of is not None or live_weight(view.query) > MAX_WEIGHT:
        return head
    fold = await fold_since(feed, view, stored, head)
    return head if fold is None else min(stored, head)
