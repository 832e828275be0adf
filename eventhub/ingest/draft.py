"""Draft: a message after hooks and conversion, and the event that it becomes.

All checks that need only the message and the configuration are done first. `Draft.event_after` does
those that depend on the row's last event.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import msgspec

from eventhub.audit.history import differ
from eventhub.channel import Endpoint, checked_id
from eventhub.columns import Columns
from eventhub.errors import Conflict, Rejected
from eventhub.event import Event, StoredEvent
from eventhub.hooks import Hooks
from eventhub.ingest.command import Command, Sender, free
from eventhub.ingest.outdated import check_held
from eventhub.ingest.permission import ID_TAKEN, UNLIMITED, Permission
from eventhub.ingest.preparing import Preparing, as_json
from eventhub.ingest.receipts import Receipt


class Draft(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message that passed every check except those against its row."""

    command: Command
    id: str
    time: str
    endpoint: str
    user: str | None
    message: dict[str, Any]
    """Without controls."""
    broadcast: dict[str, Any] | None
    ignored: tuple[str, ...] = ()
    """Keys that are no columns, for the receipt."""
    permission: Permission = UNLIMITED
    """Of the sender."""
    spend: Callable[[int], object] = free
    """As `Sender.spend`."""

    def event_after(self, last: StoredEvent | None, columns: Columns) -> Event:
        """Return the event that this message becomes after the row's last event.

        Raises:
            Conflict: `exists`, `not_found` or `conflict`.
            Rejected: `forbidden`: the rules of the endpoint do not allow it, or the id is that of a
                row that the sender may not see.
        """
        if self.permission is UNLIMITED:
            return self._event_after(last, columns)
        seen = self.permission.seen(last, columns)
        try:
            event = self._event_after(seen, columns)
        except Rejected as error:
            raise self.permission.columns.refusal(error) from None
        self.permission.check(event, self._sent(last))
        if last is not None and seen is None and last.event.row is not None:  # of a hidden row
            raise Rejected("forbidden", ID_TAKEN, column="id")
        return event

    def _sent(self, last: StoredEvent | None) -> Collection[str]:
        """Return the names of what the sender sets: of a restored version, what it changes."""
        restored = self.command.restored
        if restored is None:
            return self.command.message
        row = None if last is None else last.event.row or last.event.was
        return [k for k in restored if row is None or differ(row.get(k), restored[k])]

    def _event_after(self, last: StoredEvent | None, columns: Columns) -> Event:
        expected = self.command.if_sequence
        if expected is not None and expected != (last.sequence if last else 0):
            raise Conflict("conflict", f"row {self.id!r} has changed since event {expected}")
        old = None if last is None else last.event.row
        wanted = self.command.precondition
        if wanted and not wanted.holds(last.sequence if last else 0, exists=old is not None):
            raise Conflict("conflict", f"row {self.id!r} does not meet If-Match or If-None-Match")
        match self.command.method:
            case "POST":
                if old is not None:
                    raise Conflict("exists", f"a row with id {self.id!r} exists")
                return self._event(columns, row=columns.new_row(self.message))
            case "PUT":
                old = self._existing(old)
                row = {**old, **{k: v for k, v in self.message.items() if k in columns}}
                was = {k: old[k] for k in row if k in self.message and differ(old[k], row[k])}
                return self._event(columns, row=row, was=was, last=last)
            case "DELETE":
                return self._event(columns, was=self._existing(old), last=last)

    def receipt(self, event: Event, sequence: int, *, duplicate: bool) -> Receipt:
        """Return the receipt for the event that this message has become."""
        created = event.method == "POST" if self.command.upsert else None
        return Receipt(event.id, sequence, duplicate, self.ignored, created)

    def check_same_write(self, first: Event) -> None:
        """Check that an earlier event with the same key came from the same message.

        Raises:
            Rejected: `bad_control`: the sender has used the key for another message.
        """
        if first.asked:
            is_same = first.asked == self.command.digest
        else:  # it was stored before events had digests
            given = self.command.message.get("id")  # a hook may have replaced it
            names_another = str(given) == self.id != first.id
            is_same = first.method == self.command.method and not names_another
        if not is_same:
            raise Rejected("bad_control", "this _key was used for another message: use a new one")

    def _existing(self, row: dict[str, Any] | None) -> dict[str, Any]:
        if row is None:
            raise Conflict("not_found", f"no row with id {self.id!r}")
        return row

    def _event(
        self,
        columns: Columns,
        *,
        row: dict[str, Any] | None = None,
        was: dict[str, Any] | None = None,
        last: StoredEvent | None = None,
    ) -> Event:
        return Event(
            method=self.command.method,
            id=self.id,
            time=self.time,
            endpoint=self.endpoint,
            columns=columns.signature,
            write=self.command.write,
            asked=self.command.digest,
            user=self.user,
            created=0 if last is None else last.created,
            message=self.message,
            broadcast=self.broadcast,
            row=row,
            was=was,
            rest=None if last is None else self._rest(last.event),
            alert=self.command.alert,
        )

    def _rest(self, last: Event) -> dict[str, Any] | None:
        """Return what this process does not know of the row, and the message does not replace."""
        if last.rest is None:
            return None
        return {k: v for k, v in last.rest.items() if k not in self.message} or None


class Drafting:
    """Makes drafts from the messages of one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        hooks: Hooks,
        now: Callable[[], datetime],
        newer: Callable[[], Columns | None] = lambda: None,
    ) -> None:
        self._name = endpoint.name
        self._newer = newer
        self.changes_posts = hooks.changes_posts
        """Whether hooks may change a POST."""
        self._preparing = Preparing(endpoint, hooks, now)

    def draft_plain(self, command: Command, sender: Sender) -> Draft:
        """Return the draft of a POST that no hook changes.

        Raises:
            Rejected: a value does not fit its column, or the endpoint refuses a key.
            EventHubError: `internal`: a value of another key is not JSON.
        """
        now = self._preparing.utc()
        message = self._preparing.plain(command.message, sender, now)
        draft = self._as_draft(command, message, None, sender, now)
        if draft.ignored:
            as_json(message)  # of a form, they need not be UTF-8
        return draft

    async def draft(self, command: Command, sender: Sender) -> Draft:
        """Run the hooks and return the draft.

        Raises:
            Rejected: as `draft_plain`, or a hook refuses the message.
            EventHubError: `internal`: a hook failed.
        """
        if command.needs_no_row and not self.changes_posts:
            return self.draft_plain(command, sender)
        now = self._preparing.utc()
        message, broadcast = await self._preparing.hooked(
            command.message, sender, now, command.restored
        )
        return self._as_draft(command, message, broadcast, sender, now)

    def _as_draft(
        self,
        command: Command,
        message: dict[str, Any],
        broadcast: dict[str, Any] | None,
        sender: Sender,
        now: str,
    ) -> Draft:
        if (newer := self._newer()) is not None:
            check_held(message, command.method, newer)
        user, given = sender.handler.current_user, command.message
        is_restored = command.restored is not None
        ignored = () if is_restored else self._preparing.ignored(given, message, sender)
        return Draft(
            command=command,
            id=checked_id(message.get("id")),
            time=f"{now}Z",
            endpoint=self._name,
            user=None if user is None else str(user.id),
            message=message,
            broadcast=broadcast,
            ignored=ignored,
            permission=sender.permission,
            spend=sender.spend,
        )
