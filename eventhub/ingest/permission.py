"""Permission: which rows and columns a sender may see, and what it may do to them.

A row that the sender may not see is for it a row that does not exist: it is refused in the same
words, after the same work. The same applies to columns.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from eventhub.columns import Columns
from eventhub.errors import EventHubError, Rejected
from eventhub.event import Event, StoredEvent
from eventhub.filters.conditions import EVERYTHING, Filter
from eventhub.logs import limited
from eventhub.methods import Method

Row = Mapping[str, Any]
Decide = Callable[[Row | None, Row | None, Row], bool]
"""Decides on a write, from the row before it, the row after it, and the message."""

_VERBS: Final[dict[Method, str]] = {"POST": "create", "PUT": "change", "DELETE": "delete"}
ID_TAKEN: Final = "this id cannot be used: leave it out, or choose another one"
"""It tells of a hidden row, which cannot be avoided: two rows cannot have one id."""


@dataclass(frozen=True, slots=True)
class ColumnAccess:
    """Which columns one client may read and write."""

    hidden: frozenset[str] = frozenset()
    """It may not read these."""
    closed: frozenset[str] = frozenset()
    """It may not write these, whatever the row."""
    decides: Mapping[str, Decide] = field(default_factory=dict)
    """Of the other columns, those whose rule depends on the row."""

    unknown: frozenset[str] = field(init=False)
    """Columns that it can neither read nor write: for it there are none such."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "unknown", self.hidden & self.closed)

    def given(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of a client's message, without the columns that are unknown to it."""
        if not self.unknown:
            return {**sent}
        return {name: value for name, value in sent.items() if name not in self.unknown}

    def kept(self, message: dict[str, Any], sent: Row, columns: Columns) -> dict[str, Any]:
        """Return a message without its sender's keys that are no columns, if some are unknown.

        They would be broadcast, to their sender as well. An unknown column may not be, because
        others would take it for the row's value: the difference would tell which names those are.

        Args:
            message: after the hooks, whose keys stay.
            sent: what the client sent.
            columns: of the table.
        """
        if not self.unknown:
            return message
        return {k: v for k, v in message.items() if k in columns or v is not sent.get(k, columns)}

    def refusal(self, error: Rejected) -> EventHubError:
        """Return an error of a message as its sender may see it: without a hidden column's value.

        The sender did not set the column, so the endpoint's configuration has to be corrected.
        """
        if error.column not in self.unknown:
            return error
        limited.warning("hidden_column_unfit", by=str(error.column), detail=error.message)
        return EventHubError("internal error: the endpoint cannot fill a column")


ALL_COLUMNS: Final = ColumnAccess()


@dataclass(frozen=True, slots=True)
class Permission:
    """What one sender may do at one endpoint."""

    sees: Filter = EVERYTHING
    rules: Mapping[Method, Decide] = field(default_factory=dict)
    """A method without a rule is allowed."""
    columns: ColumnAccess = ALL_COLUMNS
    sends: Decide | None = None
    """Decides on messages that are not stored; without it they are allowed."""

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

    def check(self, event: Event, sent: Collection[str]) -> None:
        """Check a write by the rules of the endpoint.

        Args:
            event: what it would become.
            sent: the names of the columns that the sender sets, among others. What hooks set is
                the operator's.

        Raises:
            Rejected: `forbidden`.
        """
        decide = self.rules.get(event.method)
        self._check(decide, _VERBS[event.method], event.before, event.row, event.message, sent)

    def check_sent(self, row: Row, message: Row, sent: Collection[str]) -> None:
        """Check a message that is not stored; errors as `check`.

        Args:
            row: its columns.
            message: what it is after the hooks.
            sent: as for `check`.
        """
        self._check(self.sends, "send", None, row, message, sent)

    def _check(
        self,
        decide: Decide | None,
        verb: str,
        before: Row | None,
        row: Row | None,
        message: Row,
        sent: Collection[str],
    ) -> None:
        closed, decides = self.columns.closed - self.columns.hidden, self.columns.decides
        for name in sent if closed or decides else ():
            of_column = decides.get(name)
            if name in closed or (of_column is not None and not of_column(before, row, message)):
                text = f"the rules of this endpoint do not let you set {name}"
                raise Rejected("forbidden", text, column=name)
        if decide is not None and not decide(before, row, message):
            what = "this" if before is None and verb == "send" else "this row"
            text = f"the rules of this endpoint do not let you {verb} {what}"
            raise Rejected("forbidden", text)


UNLIMITED: Final = Permission()
"""Of an endpoint without rules, and of the operator."""
