"""Diff: how the rows of a table differ between two of its states, column by column."""

from typing import Any, Literal

import msgspec

from eventhub.audit.history import changed


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One row in two states of its table; None where it did not exist."""

    id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class RowChange(msgspec.Struct, frozen=True, kw_only=True):
    """How one row differs."""

    id: str
    change: Literal["added", "removed", "changed"]
    row: dict[str, Any]
    """As it is in the later state; as it was in the earlier one if it was removed."""
    was: dict[str, Any] | None = None
    """Of a changed row, the earlier values of the columns that differ."""


def row_change(pair: Pair) -> RowChange | None:
    """Return how a row differs, or None if both states have the same row or none."""
    before, after = pair.before, pair.after
    if before is None or after is None:
        if after is not None:
            return RowChange(id=pair.id, change="added", row=after)
        return None if before is None else RowChange(id=pair.id, change="removed", row=before)
    was = changed(before, after)
    return RowChange(id=pair.id, change="changed", row=after, was=was) if was else None
