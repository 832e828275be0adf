"""Reverting: restores a version of a row by one more event; nothing is removed from the log."""

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

from eventhub.audit.revert import is_visible, restoration
from eventhub.channel import checked_id
from eventhub.errors import Conflict, Rejected
from eventhub.event import Event, StoredEvent
from eventhub.filters.conditions import EVERYTHING, Filter
from eventhub.ingest.command import Command
from eventhub.ingest.draft import Draft
from eventhub.ingest.permission import Permission
from eventhub.stream import EventStream, WrongSequence

ENDPOINT: Final = "(revert)"
"""`Event.endpoint` of a revert by command: no endpoint's name, so that no alert fires."""


async def restoring(command: Command, stream: EventStream, permission: Permission) -> Command:
    """Return the command that restores the version that a command with `_revert` names.

    Only the last event that its sender has seen decides on the method: if the row has changed
    since, the command is refused when it is stored, because of its `_if_seq`. Columns that the
    sender may not read stay as they are: it cannot choose among their earlier values.

    Args:
        command: with `revert` and `if_sequence`.
        stream: of the row.
        permission: of the sender.

    Raises:
        Rejected: `bad_id`; `not_found`: one of both events is none of this row that the sender may
            see; `conflict`: nothing is to be restored.
        Unavailable: the log cannot be read now.
    """
    row_id = checked_id(command.message.get("id"))
    target = await _version(stream, row_id, command.revert or 0, permission.sees)
    last = await _version(stream, row_id, command.if_sequence or 0, permission.sees)
    if hidden := permission.columns.hidden:
        target = _without_past_of(hidden, target, last)
    method, row = restoration(target, last)
    message = {"_method": method, "id": row_id, **row}
    return msgspec.structs.replace(command, method=method, message=message, restored=row)


def _without_past_of(
    names: Iterable[str], target: Event | None, last: Event | None
) -> Event | None:
    """Return a version with some columns as they are now, or were when the row was deleted."""
    if target is None or target.row is None or last is None:
        return target
    now = last.row or last.before or {}
    row = {**target.row, **{name: now[name] for name in names if name in now}}
    return msgspec.structs.replace(target, row=row)


async def revert(stream: EventStream, row_id: str, sequence: int, seen: int | None) -> StoredEvent:
    """Restore the version that an event of a row made, without hooks; return the new event.

    Args:
        stream: of the row.
        row_id: of the row.
        sequence: of the event; 0 for a row that did not exist yet.
        seen: the last event that the caller knows of; None for the last one now.

    Raises:
        Rejected: `not_found`: no such row or event; `conflict`: the row has changed since, or
            nothing is to be restored; `forbidden`: the table is the audit trail.
        Unavailable: the log does not answer.
    """
    stream.channel.check_writable()
    last = await stream.last(row_id)
    if last is None:
        raise Rejected("not_found", f"there never was a row with id {row_id!r}")
    target = await _version(stream, row_id, sequence, EVERYTHING)
    method, row = restoration(target, last.event)
    command = Command(
        method=method,
        message={},
        write=f"w{secrets.token_urlsafe(12)}",
        if_sequence=last.sequence if seen is None else seen,
    )
    draft = Draft(
        command=command,
        id=row_id,
        time=datetime.now(UTC).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z",
        endpoint=ENDPOINT,
        user=None,
        message={**row, "id": row_id},
        broadcast=None,
    )
    event = draft.event_after(last, stream.channel.columns)
    try:
        sequence = (await stream.append(event, expect=last.sequence)).sequence
    except WrongSequence:
        text = f"row {row_id!r} has changed since event {last.sequence}"
        raise Conflict("conflict", text) from None
    return StoredEvent(sequence, event)


async def _version(stream: EventStream, row_id: str, sequence: int, within: Filter) -> Event | None:
    """Return an event of a row, or None for 0; what the reader may not see seems not to exist."""
    if not sequence:
        return None
    stored = await stream.get(sequence)
    if stored is None or stored.event.id != row_id or not is_visible(stored.event, within):
        text = f"row {row_id!r} has no event {sequence}: its history lists those that it has"
        raise Rejected("not_found", text)
    return stored.event
