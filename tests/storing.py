"""Stored snapshots in tests: of a log in memory, in a folder."""

from collections.abc import Iterable
from pathlib import Path

import duckdb

from eventhub.channel import Channel
from eventhub.event import StoredEvent
from eventhub.filters.sql import quoted
from eventhub.memory import MemoryStream
from eventhub.objects import Objects
from projections.store import Store
from projections.stored.fitting import Log
from projections.stored.loading import SnapshotLoader
from projections.stored.manifest import Manifest
from projections.stored.writing import SnapshotWriter
from tests.projecting import history, write
from tests.snapshotting import CHAT

EVENTS = history(
    CHAT,
    [("POST", f"r{n}", {"votes": n, "text": "x" * n}) for n in range(500)]
    + [("PUT" if n % 3 else "DELETE", f"r{n}", {"votes": -1}) for n in range(400)],
)
"""900 events of a table."""


async def filled(channel: Channel, events: Iterable[StoredEvent]) -> MemoryStream:
    """Return a stream with events."""
    stream = MemoryStream(channel)
    await write(stream, events)
    return stream


async def take(store: Store, objects: Objects, every: int = 1) -> Manifest | None:
    """Store a snapshot if it is due; return the newest."""

    async def opened() -> Objects:
        return objects

    return await SnapshotWriter(store, opened, every).store_if_due()


async def load(
    path: Path, objects: Objects, *streams: MemoryStream, every: int = 1
) -> Manifest | None:
    """Bring a file up to the best snapshot."""
    logs = [await Log.of(stream) for stream in streams]
    return await SnapshotLoader(path, objects, logs, every).load()


async def snapshot_of(
    folder: Path, stream: MemoryStream, events: list[StoredEvent], objects: Objects
) -> Manifest:
    """Store a snapshot of tables that hold some events of a stream."""
    name = stream.channel.name
    async with Store(folder / f"{len(events)}.duckdb", [stream.channel]) as store:
        await store.begin(name, stream.epoch)
        await store.append(name, events)
        await store.fold(name)
        made = await take(store, objects)
    assert made is not None
    return made


def rows(path: Path, table: str) -> list[tuple[str]]:
    """Return all rows of a table in a file as JSON, in their order."""
    with duckdb.connect(path, read_only=True) as connection:
        statement = f"SELECT to_json(row)::VARCHAR FROM {quoted(table)} AS row ORDER BY _seq"
        return connection.execute(statement).fetchall()
