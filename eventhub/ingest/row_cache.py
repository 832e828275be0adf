"""Row cache: the last events of rows that changed lately, so that a change need not read the log.

Another process may have written since, so what is here may only lead to an append, which the log
refuses if it is stale, and never to a refusal: before one, the log is asked.
"""

from collections import OrderedDict
from collections.abc import Iterable

from eventhub.event import StoredEvent
from eventhub.stream import EventStream

MAX_BYTES = 16 << 20
"""Payload bytes of the events kept, for each channel; the least recently used go first."""


class RowCache:
    """Last events by row id, kept fresh by the channel's follower."""

    def __init__(self, stream: EventStream, max_bytes: int = MAX_BYTES) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._events: OrderedDict[str, StoredEvent] = OrderedDict()
        self._bytes = 0

    def note(self, batch: Iterable[StoredEvent]) -> None:
        """Take events that were appended, in order."""
        for stored in batch:
            self._keep(stored)
        while self._bytes > self._max_bytes:
            _, oldest = self._events.popitem(last=False)
            self._bytes -= oldest.size

    def recent(self, row_id: str) -> StoredEvent | None:
        """Return the last event of a row as far as it is known here."""
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
            self._bytes -= known.size
            self._events.move_to_end(stored.event.id)
        self._events[stored.event.id] = stored
        self._bytes += stored.size
