"""Versions: the history of one row, as its readers see it."""

from collections.abc import AsyncGenerator, Hashable
from typing import Any

from eventhub.audit.history import Page, events_of
from eventhub.delivery.view import Change, change_for, frame_of
from eventhub.event import StoredEvent
from eventhub.filters.query import Query
from eventhub.snapshots import Snapshots


def version_of(stored: StoredEvent, query: Query) -> dict[str, Any] | None:
    """Return a version of a row as a JSON object: a record of the history, and its endpoint.

    Args:
        stored: the event that made the version.
        query: whose it is. Of rows outside its restriction, no value is in the version.

    Returns:
        None if the reader may see neither the row before the event nor the one after it.
    """
    change = change_for(stored, query, history=True)
    if change is Change.NOTHING:
        return None
    record = frame_of(change, stored, query, sequenced=True)
    rows = {name: record.pop(name) for name in ("row", "was")}
    record["_endpoint"] = stored.event.endpoint
    return query.spelling.spell_record({**record, **rows})


async def read_versions(
    snapshots: Snapshots, channel: str, row_id: str, up_to: int, client: Hashable
) -> AsyncGenerator[list[StoredEvent], None]:
    """Iterate over the events of a row up to a sequence, in pages; the first may be empty.

    Raises:
        Unavailable: as `Snapshots.versions`.
    """
    last: StoredEvent | None = None
    page = Page([], is_last=False)
    while not page.is_last:
        after = 0 if last is None else last.sequence
        page = await snapshots.versions(channel, row_id, after=after, up_to=up_to, client=client)
        events = list(events_of(row_id, page.versions, last))
        last = events[-1] if events else last
        yield events
