"""Builders: two configurations of one endpoint, and events that the first has stored."""

import json
from pathlib import Path
from typing import Any

import msgspec

from eventhub.channel import Endpoint, endpoints_of
from eventhub.config import Config, load
from eventhub.event import Event
from eventhub.memory import MemoryLog
from eventhub.rehearsal.rehearsing import Difference, Rehearsal

COLUMNS = {"body": "TEXT", "n": "INTEGER"}
TIME = "2026-11-23T10:00:00.000000Z"


def config(folder: Path, name: str, pattern: str = "/notes", **kwargs: Any) -> Config:
    """Return a file with one endpoint, `notes`."""
    settings = {"table": "notes", "columns": COLUMNS, **kwargs}
    entry = {"pattern": pattern, "handler": "MessageHandler", "kwargs": settings}
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps({"url": {"notes": entry}}))
    return load(file, environ={})


def event(endpoint: Endpoint, row_id: str, user: str | None = None, **values: Any) -> Event:
    """Return the POST of a row, as an endpoint without hooks stores it."""
    stamp = {"timestamp": TIME[:19], "user": user, "id": row_id}
    message = endpoint.channel.columns.convert({**values, **stamp})
    return Event(
        method="POST",
        id=row_id,
        time=TIME,
        endpoint=endpoint.name,
        columns=endpoint.channel.columns.signature,
        write=f"w{row_id}",
        user=user,
        message=message,
        row=endpoint.channel.columns.new_row(message),
    )


def put(posted: Event, endpoint: Endpoint, **values: Any) -> Event:
    """Return a PUT after a POST."""
    assert posted.row is not None
    message = {**endpoint.channel.columns.convert(values), "id": posted.id}
    return msgspec.structs.replace(
        posted,
        method="PUT",
        write=f"w{posted.id}-{values}",
        created=1,
        message=message,
        row={**posted.row, **message},
        was={name: posted.row[name] for name in values},
    )


async def log_of(old: Config, *events: Event) -> MemoryLog:
    """Return a log with events of the endpoint `notes`."""
    log = MemoryLog()
    stream = await log.open(endpoints_of(old)[0].channel)
    for each in events:
        last = await stream.last(each.id)
        await stream.append(each, expect=0 if last is None else last.sequence)
    return log


async def rehearsed(
    rehearsal: Rehearsal, log: MemoryLog, last: int = 1000
) -> list[tuple[str, str, Any, Any]]:
    """Return the kind, what, before and after of each difference."""
    return [
        (each.kind, each.what, each.before, each.after)
        for each in await differences(rehearsal, log, last)
    ]


async def differences(rehearsal: Rehearsal, log: MemoryLog, last: int = 1000) -> list[Difference]:
    """Return all differences."""
    return [each async for each in rehearsal.differences(log, last)]
