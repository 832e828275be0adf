"""View: what equal subscribers see of the events: form, filter, columns, rows or history."""

from collections.abc import Hashable
from functools import partial

from eventhub.delivery import frames as protocol
from eventhub.delivery.frames import Form
from eventhub.delivery.subscription import Change, change_of, frame, recorded
from eventhub.event import Position, StoredEvent
from eventhub.filters.query import Query

FrameMemo = dict[Hashable, bytes]
"""Frames of one batch already encoded: groups that differ in form only share them."""


class View:
    """What one group of subscribers sees of the events: form, filter, columns, rows or history."""

    def __init__(self, form: Form, query: Query, *, history: bool, epoch: str) -> None:
        self.form = form
        self.query = query
        self.history = history
        self._epoch = epoch
        self._decide = partial(recorded, within=query.restriction) if history else change_of
        limits = query.restriction.key if history else ()
        picks = (query.picks, query.spelling)
        self.key: Hashable = (form, query.filter.key, picks, history, limits)

    def frame(self, stored: StoredEvent, memo: FrameMemo) -> bytes:
        """Return the frame that tells of an event, as bytes for the socket; empty if none does.

        Args:
            stored: the event.
            memo: what other views have encoded of the same events; added to.
        """
        change = self._decide(stored, self.query.filter)
        if change is Change.NOTHING:
            return b""
        position = self.position(stored.sequence)
        return protocol.wire(self.form, self._payload(change, stored, memo), position)

    def shows(self, stored: StoredEvent) -> bool:
        """Return whether there is a frame for an event."""
        return self._decide(stored, self.query.filter) is not Change.NOTHING

    def position(self, sequence: int) -> Position:
        """Return a sequence as the position that a client keeps."""
        return Position(self._epoch, sequence)

    def _payload(self, change: Change, stored: StoredEvent, memo: FrameMemo) -> bytes:
        spelling = self.query.spelling
        key = (stored.sequence, change, self.query.picks, self.form.sequenced, spelling.stamp)
        payload = memo.get(key)
        if payload is None:
            sequenced = self.form.sequenced
            found = frame(change, stored, self.query, sequenced=sequenced)
            if spelling:
                found = (spelling.spell_record if self.history else spelling.spell)(found)
            payload = protocol.encode(found)
            memo[key] = payload
        return payload
