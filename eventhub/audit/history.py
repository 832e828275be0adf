"""History: the versions of one row, as the events that made them."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from eventhub.event import Event, StoredEvent
from eventhub.methods import Method


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it was after one event, as the tables hold it."""

    sequence: int
    time: str
    """In the form of `Event.time`."""
    method: Method
    user: str | None
    endpoint: str
    row: dict[str, Any] | None
    """In the form of an event's row; None after a DELETE."""


class Page(NamedTuple):
    """Some versions of a row, in their order."""

    versions: list[Version]
    is_last: bool


def events_of(
    row_id: str, versions: Iterable[Version], last: StoredEvent | None = None
) -> Iterator[StoredEvent]:
    """Iterate over the events of some versions: each has the row before it as well.

    Args:
        row_id: of the row.
        versions: in their order.
        last: the event before the first of them, if there is one. A first version that is a PUT, in
            a log that no longer has its beginning, seems to create its row.
    """
    before = None if last is None else last.event.row
    for version in versions:
        yield StoredEvent(version.sequence, _event(row_id, version, before))
        before = version.row


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the old values of the columns that differ between two versions of a row."""
    return {name: before[name] for name in after if differ(before[name], after[name])}


def differ(old: Any, new: Any) -> bool:
    """Compare two values: for Python 1, 1.0 and True are equal, in a JSON column they are not."""
    return bool(old != new) or repr(old) != repr(new)


def _event(row_id: str, version: Version, before: dict[str, Any] | None) -> Event:
    was = before
    if before is not None and version.row is not None:
        was = changed(before, version.row)
    return Event(
        method=version.method,
        id=row_id,
        time=version.time,
        endpoint=version.endpoint,
        columns="",
        write="",
        user=version.user,
        message={},
        row=version.row,
        was=was,
    )
