"""Row cache: the last events of rows that changed lately, so that a change does not read the log.

Another process may have written since. So a cached event may lead to an append, which the log
refuses if the event is stale, but never to a refusal: before that, the log is read.
"""

from collections import OrderedDict
from collections.abc import Iterable

from eventhub.event import StoredEvent
from eventhub.stream import EventStream

MAX_BYTES = 16 << 20
"""Payload bytes of the cached events of a channel; the least recently used go first."""


class RowCache:
    """Last events by row id; the channel's feed keeps them fresh."""

    def __init__(self, stream: EventStream, max_bytes: int = MAX_BYTES) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._events: OrderedDict[str, StoredEvent] = OrderedDict()
        self._bytes = 0

    def note(self, batch: Iterable[StoredEvent]) -> None:
        """Take appended events, in order."""
        events = self._events
        for stored in batch:
            row_id = stored.event.id
            if row_id in events:
                self._keep(row_id, stored)
            else:
                events[row_id] = stored
                self._bytes += len(stored.payload)
        while self._bytes > self._max_bytes:
            _, oldest = self._events.popitem(last=False)
            self._bytes -= len(oldest.payload)

    def on_followed(self, _after: int | None) -> None:
        """Forget all rows: others may have changed them while the channel was not followed."""
        self._events.clear()
        self._bytes = 0

    def recent(self, row_id: str) -> StoredEvent | None:
        """Return the newest known event of a row, or None."""
        stored = self._events.get(row_id)
        if stored is not None:
            self._events.move_to_end(row_id)
        return stored

    async def last(self, row_id: str) -> StoredEvent | None:
        """Return the last event of a row from the log; errors as `EventStream.last`."""
        stored = await self._stream.last(row_id)
        if stored is not None:
            self.note([stored])
        return stored

    def _keep(self, row_id: str, stored: StoredEvent) -> None:
        """Take the place of an event of the same row, unless that is newer."""
        known = self._events[row_id]
        if known.sequence > stored.sequence:
            return
        self._events.move_to_end(row_id)
        self._events[row_id] = stored
        self._bytes += len(stored.payload) - len(known.payload)
