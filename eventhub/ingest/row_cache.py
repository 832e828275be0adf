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
        for stored in batch:
            self._keep(stored)
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

    def _keep(self, stored: StoredEvent) -> None:
        known = self._events.get(stored.event.id)
        if known is not None:
            if known.sequence > stored.sequence:
                return
            self._bytes -= len(known.payload)
            self._events.move_to_end(stored.event.id)
        self._events[stored.event.id] = stored
        self._bytes += len(stored.payload)
