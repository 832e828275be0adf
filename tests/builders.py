"""Builders of valid values, in which a test changes the one field that matters."""

from typing import Any
from uuid import uuid4

import msgspec

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.event import Event
from eventhub.identity.logins import Logins
from eventhub.memory_records import MemoryRecords


def channel(name: str = "chat") -> Channel:
    """Return a channel with a text and a number next to the built-in columns."""
    return Channel(name, Columns([Column("text"), Column("votes", Kind.INTEGER)]))


def make_event(**changes: Any) -> Event:
    """Return a POST of a new row of `channel()`; every call makes another write."""
    row_id = changes.get("id", "r1")
    message = {"id": row_id, "text": "hello", "timestamp": "2026-11-23T10:00:00"}
    event = Event(
        method="POST",
        id=row_id,
        time="2026-11-23T10:00:00.000000Z",
        endpoint="chat",
        columns=channel().columns.signature,
        write=f"w{uuid4().hex}",
        message=message,
        row={"text": "hello", "votes": None, "id": row_id, "user": None, "timestamp": None},
    )
    return msgspec.structs.replace(event, **changes)


def logins() -> Logins:
    """Return the logins of a hub that has none yet."""
    return Logins(MemoryRecords(None))
