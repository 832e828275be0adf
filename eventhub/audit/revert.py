"""Revert: the write after which a row is as it was."""

from typing import Any, NamedTuple

from eventhub.audit.history import differ
from eventhub.errors import Conflict
from eventhub.event import Event
from eventhub.filters.conditions import Filter
from eventhub.methods import Method


class Restoration(NamedTuple):
    """What is written to restore a version."""

    method: Method
    row: dict[str, Any]
    """The whole row, in the form of an event's; empty for a DELETE."""


def restoration(target: Event | None, last: Event | None) -> Restoration:
    """Return the write that restores a version of a row.

    Args:
        target: the event that made the version; None for a row that does not exist yet.
        last: the last event of the row; None if there never was one.

    Raises:
        Conflict: `conflict`: the row is as it was then.
    """
    wanted = None if target is None else target.row
    row = None if last is None else last.row
    if wanted is None:
        if row is None:
            raise Conflict("conflict", "the row does not exist, as it did not then")
        return Restoration("DELETE", {})
    if row is None:
        return Restoration("POST", wanted)
    if not any(differ(row[name], wanted[name]) for name in wanted):
        raise Conflict("conflict", f"row {wanted['id']!r} is already as it was then")
    return Restoration("PUT", wanted)


def is_visible(event: Event, within: Filter) -> bool:
    """Return whether a reader may see the version that an event made, or the row it deleted."""
    row = event.before if event.row is None else event.row
    return row is not None and within.matches(row)
