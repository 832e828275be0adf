"""Send: a message that is not stored, as views decide on it and clients get it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from eventhub.columns import BUILT_IN
from eventhub.delivery import frames
from eventhub.delivery.frames import Form
from eventhub.delivery.view import FrameMemo, View
from eventhub.filters.query import Query
from eventhub.methods import SEND

_SET_BY_HUB: Final = frozenset(BUILT_IN)
"""In each message, whatever its sender says."""


class Send(NamedTuple):
    """A message that is not stored."""

    row: Mapping[str, Any]
    """Its columns; those that it does not have are NULL."""
    message: dict[str, Any]
    """What clients get, without controls."""

    def payload(self, view: View, memo: FrameMemo) -> bytes | None:
        """Return what the clients of a view get, as JSON; None for nothing.

        Readers of history, and polls, which are answered once, get none.

        Args:
            view: the view.
            memo: what other views have encoded of the same messages; added to.
        """
        query = view.query
        if view.history or view.form is Form.POLL or not self._says_to(query):
            return None
        key = (id(self), query.picks, query.spelling.stamp, query.spelling.wide)
        payload = memo.get(key)
        if payload is None:
            frame = query.pick({"_method": SEND, **self.message})
            spelling = query.spelling
            payload = memo[key] = frames.encode(spelling.spell(frame) if spelling else frame)
        return payload

    def _says_to(self, query: Query) -> bool:
        """Return whether it matches, and not all that it says is unreadable for a reader."""
        if not query.filter.matches(self.row):
            return False
        said = self.message.keys() - _SET_BY_HUB if query.unreadable else ()
        return not said or not query.unreadable.issuperset(said)
