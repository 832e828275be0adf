"""View: what equal subscribers see of the events: form, filter, columns, current rows or history.

A filter decides on whole rows, before and after the event, never on the partial message:

    before   after    the client gets
    no       no       nothing
    no       yes      the message if it created the row, else a POST with the whole row: it entered
    yes      yes      the message
    yes      no       the message if it is the DELETE, else a DELETE: the row left

So a client that applies what it gets holds exactly the rows that its filter matches. It learns
nothing about a row that does not match, not even that the row was deleted. Nor does it learn of a
PUT whose only values are those of columns that it may not read.
"""

from collections.abc import Hashable, Iterable
from enum import Enum
from typing import Any

from eventhub.delivery import frames
from eventhub.delivery.frames import Form
from eventhub.event import Position, StoredEvent
from eventhub.filters.conditions import EVERYTHING, Filter
from eventhub.filters.query import Query

Payload = tuple[bytes, Position]
"""The JSON of an event for a client, and the event's position."""
FrameMemo = dict[Hashable, bytes]
"""The frames of one batch that are encoded already, shared by groups that differ in form only."""


class Change(Enum):
    """What an event changes for a client, which decides on its frame."""

    NOTHING = "nothing"
    MESSAGE = "message"
    ENTER = "enter"
    LEAVE = "leave"
    RECORD = "record"
    """The event itself, for readers of history."""
    RECORD_ENTER = "record enter"
    """The event as a POST: the reader may not see the row before it."""
    RECORD_LEAVE = "record leave"
    """The event as a DELETE: the reader may not see the row after it."""


def change_of(stored: StoredEvent, matching: Filter) -> Change:
    """Return what an event changes for a subscriber with a filter."""
    event, before = stored.event, stored.before
    row = event.row
    did_match = before is not None and matching.matches(before)
    does_match = row is not None and matching.matches(row)
    if did_match and does_match:
        return Change.MESSAGE
    if does_match:
        return Change.MESSAGE if event.method == "POST" else Change.ENTER
    if did_match:
        return Change.MESSAGE if event.method == "DELETE" else Change.LEAVE
    return Change.NOTHING


def record_of(stored: StoredEvent, matching: Filter, *, within: Filter = EVERYTHING) -> Change:
    """Return what a reader of history gets: the event, if its old or its new row matches.

    Args:
        stored: the event.
        matching: what the reader asked for, which is no more than `within`.
        within: what the reader may see; a row that it does not match is left out of the record.
    """
    if change_of(stored, matching) is Change.NOTHING:
        return Change.NOTHING
    if not within.conditions:
        return Change.RECORD
    before, row = stored.before, stored.event.row
    if row is not None and not within.matches(row):
        return Change.RECORD_LEAVE
    if before is not None and not within.matches(before):
        return Change.RECORD_ENTER
    return Change.RECORD


def change_for(stored: StoredEvent, query: Query, *, history: bool) -> Change:
    """Return what an event changes for a reader of a query, with what it may read.

    Args:
        stored: the event.
        query: of the reader.
        history: it reads recorded events, not changes of the current rows.
    """
    if history:
        change = record_of(stored, query.filter, within=query.restriction)
    else:
        change = change_of(stored, query.filter)
    if query.unreadable and _is_silent(change, stored, query.unreadable):
        return Change.NOTHING
    return change


def _is_silent(change: Change, stored: StoredEvent, unreadable: frozenset[str]) -> bool:
    """Return whether nothing that a reader may read is in an event.

    Only what it may read decides, so it cannot tell which other columns there are. A live message
    says something if it has other keys, even with the values that the row had; a record does not.
    """
    event = stored.event
    if event.method != "PUT" or change not in (Change.MESSAGE, Change.RECORD):
        return False
    if event.was and not unreadable.issuperset(event.was):
        return False
    return change is Change.RECORD or unreadable.issuperset(event.message.keys() - {"id"})


def frame_of(
    change: Change,
    stored: StoredEvent,
    query: Query,
    *,
    sequenced: bool,
    placed: bool = False,
    timed: bool = False,
) -> dict[str, Any]:
    """Return the JSON object that a client gets for an event.

    Args:
        change: not `NOTHING`.
        stored: the event.
        query: its columns are what the client asked for.
        sequenced: add `_seq`, as `eventhub.v1.json` does.
        placed: add `_created` to the POST of a row that entered the filter, as `eventhub.v2.json`
            does: it was created before the event, and its place is among older rows.
        timed: add `_time`, as a playback does.
    """
    event = stored.event
    if change in (Change.RECORD, Change.RECORD_ENTER, Change.RECORD_LEAVE):
        return _record(change, stored, query)
    head: dict[str, Any] = {"_method": event.method}
    if sequenced:
        head["_seq"] = stored.sequence
    if placed and change is Change.ENTER:
        head["_created"] = stored.created
    if timed:
        head["_time"] = event.time
    if change is Change.MESSAGE:
        return query.pick({**head, **event.outgoing, "id": event.id})
    if change is Change.ENTER:
        return query.pick({**head, "_method": "POST", **(event.row or {})})
    return query.pick({**head, "_method": "DELETE", "id": event.id})


def _record(change: Change, stored: StoredEvent, query: Query) -> dict[str, Any]:
    event = stored.event
    method, row, was = event.method, event.row, event.was
    if change is Change.RECORD_ENTER:
        method, was = "POST", None
    elif change is Change.RECORD_LEAVE:
        method, row, was = "DELETE", None, stored.before

    def picked(values: dict[str, Any] | None) -> dict[str, Any] | None:
        if values is None:
            return None
        return {name: values[name] for name in query.columns if name in values}

    return {
        "_seq": stored.sequence,
        "_time": event.time,
        "_method": method,
        "id": event.id,
        "_user": None if "user" in query.unreadable else event.user,
        "row": picked(row),
        "was": picked(was),
    }


class View:
    """What one group of subscribers sees of the events."""

    def __init__(
        self,
        form: Form,
        query: Query,
        *,
        history: bool,
        epoch: str,
        timed: bool = False,
        number: int = 0,
    ) -> None:
        """Make a view.

        Args:
            form: how frames look on the wire.
            query: which rows and columns.
            history: frames are the recorded events, not changes of the current rows.
            epoch: of the log, for positions.
            timed: frames of events say when they happened.
            number: of the subscription on its socket; 0 if it is the only one.
        """
        self.form = form
        self.query = query
        self.history = history
        self._epoch = epoch
        self._timed = timed
        self.number = number
        limits = query.restriction.key if history else ()
        picks = (query.picks, query.spelling)
        self.key: Hashable = (form, query.filter.key, picks, history, limits, timed)
        """Equal for views whose frames are equal, but for the number of the subscription."""

    def asking(self, query: Query) -> "View":
        """Return the same view of what another query asks for."""
        return View(
            self.form,
            query,
            history=self.history,
            epoch=self._epoch,
            timed=self._timed,
            number=self.number,
        )

    def after(self, sequence: int) -> "View":
        """Return the same view of the rows as they were after an event, and of what followed."""
        return View(
            self.form,
            self.query.past(sequence),
            history=False,
            epoch=self._epoch,
            timed=True,
            number=self.number,
        )

    def payload(self, stored: StoredEvent, memo: FrameMemo) -> Payload | None:
        """Return what a client gets for an event, as JSON with its position; None for nothing.

        Args:
            stored: the event.
            memo: what other views have encoded of the same events; added to.
        """
        change = change_for(stored, self.query, history=self.history)
        if change is Change.NOTHING:
            return None
        return self._payload(change, stored, memo), self.position(stored.sequence)

    def wire(self, batch: Iterable[StoredEvent]) -> bytes:
        """Return the frames of some events, as bytes for the socket of this view's subscriber."""
        memo: FrameMemo = {}
        payloads = [each for stored in batch if (each := self.payload(stored, memo)) is not None]
        return frames.events(self.form, payloads, self.number)

    def shows(self, stored: StoredEvent) -> bool:
        """Return whether there is a frame for an event."""
        return change_for(stored, self.query, history=self.history) is not Change.NOTHING

    def concerns(self, stored: StoredEvent) -> bool:
        """Return whether an event changes a row of the view, perhaps where its reader sees nothing.

        The row then has another `_seq`.
        """
        return change_of(stored, self.query.filter) is not Change.NOTHING

    def position(self, sequence: int) -> Position:
        """Return a sequence as the position that a client keeps."""
        return Position(self._epoch, sequence)

    def _payload(self, change: Change, stored: StoredEvent, memo: FrameMemo) -> bytes:
        spelling = self.query.spelling
        spelled = (spelling.stamp, spelling.wide)
        picks, sequenced = self.query.picks, self.form.sequenced
        placed = self.form is Form.V2 and change is Change.ENTER
        key = (stored.sequence, change, picks, sequenced, placed, spelled, self._timed)
        payload = memo.get(key)
        if payload is None:
            frame = frame_of(
                change,
                stored,
                self.query,
                sequenced=sequenced,
                placed=placed,
                timed=self._timed,
            )
            if spelling:
                frame = (spelling.spell_record if self.history else spelling.spell)(frame)
            payload = memo[key] = frames.encode(frame)
        return payload
