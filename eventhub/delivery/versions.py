"""Versions: the history of one row, as its readers see it."""

from typing import Any

from eventhub.delivery.view import Change, frame_of, record_of
from eventhub.event import StoredEvent
from eventhub.filters.query import Query


def version_of(stored: StoredEvent, query: Query) -> dict[str, Any] | None:
    """Return a version of a row as a JSON object: a record of the history, and its endpoint.

    Args:
        stored: the event that made the version.
        query: whose it is. Of rows outside its restriction, no value is in the version.

    Returns:
        None if the reader may see neither the row before the event nor the one after it.
    """
    change = record_of(stored, query.filter, within=query.restriction)
    if change is Change.NOTHING:
        return None
    record = frame_of(change, stored, query, sequenced=True)
    rows = {name: record.pop(name) for name in ("row", "was")}
    record["_endpoint"] = stored.event.endpoint
    return query.spelling.spell_record({**record, **rows})
