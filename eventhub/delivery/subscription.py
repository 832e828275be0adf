"""Subscription: what one event is to one filter. Pure values, no I/O.

A filter decides on whole rows, before and after the event, never on the partial message:

    before   after    the client is told
    no       no       nothing
    no       yes      the message, if it made the row; else POST with the whole row: it entered
    yes      yes      the message
    yes      no       the message, if it is the DELETE; else DELETE: the row left

So a client that applies what it is told holds exactly the rows that its filter matches, and is
never told of a row, or of its end, that the filter does not match.
"""

from enum import Enum
from typing import Any

from eventhub.event import StoredEvent
from eventhub.filters.conditions import EVERYTHING, Filter
from eventhub.filters.query import Query


class Change(Enum):
    """What a client is told of an event."""

    NOTHING = "nothing"
    MESSAGE = "message"
    ENTER = "enter"
    LEAVE = "leave"
    RECORD = "record"
    """The event itself, for readers of history."""
    RECORD_ENTER = "record enter"
    """The event as a POST: the reader may not see the row that was."""
    RECORD_LEAVE = "record leave"
    """The event as a DELETE: the reader may not see the row that is."""


def change_of(stored: StoredEvent, matching: Filter) -> Change:
    """Decide what a subscriber with a filter is told of an event."""
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


def recorded(stored: StoredEvent, matching: Filter, *, within: Filter = EVERYTHING) -> Change:
    """Decide what a reader of history is told: the event, if its old or its new row matches.

    Args:
        stored: the event.
        matching: what the reader asked for; asks for no more than `within`.
        within: what the reader may see: of a row that it does not match, nothing is told.
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


def frame(change: Change, stored: StoredEvent, query: Query, *, sequenced: bool) -> dict[str, Any]:
    """Return the JSON object that tells a client of an event.

    Args:
        change: not `NOTHING`.
        stored: the event.
        query: its columns are what the client asked for.
        sequenced: add `_seq`, as `eventhub.v1.json` does.
    """
    event = stored.event
    if change in (Change.RECORD, Change.RECORD_ENTER, Change.RECORD_LEAVE):
        return _record(change, stored, query)
    head: dict[str, Any] = {"_method": event.method}
    if sequenced:
        head["_seq"] = stored.sequence
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
    return {
        "_seq": stored.sequence,
        "_time": event.time,
        "_method": method,
        "id": event.id,
        "_user": event.user,
        "row": None if row is None else _columns(row, query),
        "was": None if was is None else _columns(was, query),
    }


def _columns(row: dict[str, Any], query: Query) -> dict[str, Any]:
    return {name: row[name] for name in query.columns if name in row}
