"""Side: one endpoint of one configuration: what it makes of a message, and who sees the row."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from eventhub.channel import Channel, Endpoint
from eventhub.config import MessageEndpoint
from eventhub.errors import EventHubError
from eventhub.event import Event, StoredEvent, decode
from eventhub.filters.conditions import EVERYTHING
from eventhub.handler import Handler, RequestInfo, User
from eventhub.hooks import Hooks
from eventhub.identity.column_rules import ColumnRules
from eventhub.identity.row_rules import RowRules
from eventhub.identity.rule import Rule
from eventhub.ingest.command import Command, Sender
from eventhub.ingest.draft import Drafting

_NOBODYS_ID: Final = "(another user)"
"""Id of a user who is taken to have no rows."""


class Side:
    """One endpoint of one configuration."""

    def __init__(self, entry: MessageEndpoint, channel: Channel, folder: Path) -> None:
        """Compile hooks and rules.

        Args:
            entry: the endpoint, with the hooks that are to be run.
            channel: its table.
            folder: of the configuration.

        Raises:
            Misconfigured: an expression or a rule cannot be compiled.
        """
        self.channel = channel
        self._entry = entry
        self._rule = Rule(entry, folder)
        self._row_rules = RowRules(entry, channel.columns, folder)
        self._column_rules = ColumnRules(entry, channel.columns, folder)
        self._now = datetime.now(UTC)
        hooks = Hooks(entry, folder)
        self._drafting = Drafting(Endpoint(entry, channel), hooks, lambda: self._now)

    def event(self, stored: StoredEvent) -> Event:
        """Return an event of the log with the columns of this side; errors as `decode`."""
        return decode(stored.payload, self.channel.columns)

    async def replay(self, stored: StoredEvent, given: Mapping[str, Any]) -> Event | EventHubError:
        """Return the event that a message becomes, or the error that its sender gets.

        Args:
            stored: the event that the message has become.
            given: the message.

        Raises:
            Damaged: the event cannot be read.
        """
        event = self.event(stored)
        self._now = datetime.fromisoformat(event.time)
        handler = self._handler(None if event.user is None else User({"id": event.user}))
        alert = self._entry.alert
        try:
            if handler.current_user is None:
                await self._rule.check(handler)
            command = Command.parse(
                {**given, "_method": event.method, **({} if event.alert else {"_alert": False})},
                unknown=self._entry.unknown,
                is_suppressible=alert is None or alert.suppressible,
            )
            access = self._column_rules.access(handler)
            permission = self._row_rules.permission(handler, EVERYTHING, access)
            draft = await self._drafting.draft(command, Sender(handler, permission=permission))
            return draft.event_after(_last(stored, event), self.channel.columns)
        except EventHubError as error:
            return error

    def seen(self, row: Mapping[str, Any]) -> dict[str, frozenset[str]]:
        """Return the columns of a row that each kind of reader sees, without readers who see none.

        Of a reader only the id is known, if there is one.
        """
        found = {}
        for reader, user_id in readers_of(row).items():
            if user_id is None and self._rule.needs_login:
                continue
            handler = self._handler(None if user_id is None else User({"id": user_id}))
            permission = self._row_rules.permission(
                handler, EVERYTHING, self._column_rules.access(handler)
            )
            if permission.sees.matches(row):
                found[reader] = frozenset(row) - permission.columns.hidden
        return found

    def _handler(self, user: User | None) -> Handler:
        request = RequestInfo(path=self._entry.pattern)
        kwargs = self._entry.kwargs
        return Handler(current_user=user, session={"id": ""}, request=request, kwargs=kwargs)


def readers_of(row: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the kinds of readers of a row, each with the id of such a user."""
    readers: dict[str, str | None] = {"clients without a login": None, "other users": _NOBODYS_ID}
    if row.get("user") is not None:
        readers["the row's user"] = str(row["user"])
    return readers


def _last(stored: StoredEvent, event: Event) -> StoredEvent | None:
    """Return an event that leaves the row as it was before another event; None without a row."""
    before = event.before
    if before is None:
        return None
    post = Event(
        method="POST",
        id=event.id,
        time=event.time,
        endpoint=event.endpoint,
        columns=event.columns,
        write="",
        message=before,
        row=before,
    )
    return StoredEvent(event.created or stored.sequence, post)
