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

from eventhub.conditions import Filter
from eventhub.event import StoredEvent
from eventhub.filters import Query


class Told(Enum):
    """What a client is told of an event."""

    NOTHING = "nothing"
    MESSAGE = "message"
    ENTER = "enter"
    LEAVE = "leave"
    RECORD = "record"
    """The event itself, for readers of history."""


def told_of(stored: StoredEvent, matching: Filter) -> Told:
    """Decide what a subscriber with a filter is told of an event."""
    event, before = stored.event, stored.before
    row = event.row
    did_match = before is not None and matching.matches(before)
    does_match = row is not None and matching.matches(row)
    if did_match and does_match:
        return Told.MESSAGE
    if does_match:
        return Told.MESSAGE if event.method == "POST" else Told.ENTER
    if did_match:
        return Told.MESSAGE if event.method == "DELETE" else Told.LEAVE
    return Told.NOTHING


def recorded(stored: StoredEvent, matching: Filter) -> Told:
    """Decide what a reader of history is told: the event, if its old or its new row matches."""
    return Told.NOTHING if told_of(stored, matching) is Told.NOTHING else Told.RECORD


def frame(told: Told, stored: StoredEvent, query: Query, *, sequenced: bool) -> dict[str, Any]:
    """Return the JSON object that tells a client of an event.

    Args:
        told: not `NOTHING`.
        stored: the event.
        query: its columns are what the client asked for.
        sequenced: add `_seq`, as `eventhub.v1.json` does.
    """
    event = stored.event
    if told is Told.RECORD:
        return _record(stored, query)
    head: dict[str, Any] = {"_method": event.method}
    if sequenced:
        head["_seq"] = stored.sequence
    if told is Told.MESSAGE:
        return query.pick({**head, **event.told, "id": event.id})
    if told is Told.ENTER:
        return query.pick({**head, "_method": "POST", **(event.row or {})})
    return query.pick({**head, "_method": "DELETE", "id": event.id})


def _record(stored: StoredEvent, query: Query) -> dict[str, Any]:
    event = stored.event
    return {
        "_seq": stored.sequence,
        "_time": event.time,
        "_method": event.method,
        "id": event.id,
        "_user": event.user,
        "row": None if event.row is None else _columns(event.row, query),
        "was": None if event.was is None else _columns(event.was, query),
    }


def _columns(row: dict[str, Any], query: Query) -> dict[str, Any]:
    return {name: row[name] for name in query.columns if name in row}
