"""Permission: which rows a sender may see, and what it may do to them.

A row that the sender may not see is for it a row that does not exist: it is refused in the same
words, after the same work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from eventhub.columns import Columns
from eventhub.errors import Rejected
from eventhub.event import Event, StoredEvent
from eventhub.filters.conditions import EVERYTHING, Filter
from eventhub.methods import Method

Row = Mapping[str, Any]
Decide = Callable[[Row | None, Row | None, Row], bool]
"""Decides on a write, from the row before it, the row after it, and the message."""

_VERBS: Final[dict[Method, str]] = {"POST": "create", "PUT": "change", "DELETE": "delete"}
ID_TAKEN: Final = "this id cannot be used: leave it out, or choose another one"
"""It tells of a hidden row, which cannot be avoided: two rows cannot have one id."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What one sender may do at one endpoint."""

    sees: Filter = EVERYTHING
    rules: Mapping[Method, Decide] = field(default_factory=dict)
    """A method without a rule is allowed."""

    def seen(self, last: StoredEvent | None, columns: Columns) -> StoredEvent | None:
        """Return the last event of a row, or None if the sender may not see what it left.

        Args:
            last: the event.
            columns: of the table now; its row may have those of an earlier time.
        """
        if last is None:
            return None
        row = last.event.before if last.event.row is None else last.event.row
        return last if row is not None and self.sees.matches(columns.lift(row)) else None

    def check(self, event: Event) -> None:
        """Check a write by the rules of the endpoint.

        Raises:
            Rejected: `forbidden`.
        """
        decide = self.rules.get(event.method)
        if decide is not None and not decide(event.before, event.row, event.message):
            text = f"the rules of this endpoint do not let you {_VERBS[event.method]} this row"
            raise Rejected("forbidden", text)


UNLIMITED: Final = Permission()
"""Of an endpoint without rules, and of the operator."""
