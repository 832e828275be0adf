"""Stored snapshots in tests: of a log in memory, in a folder."""

from collections.abc import Callable, Iterable
from functools import partial
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

    return await SnapshotWriter(store, partial(opened_objects, objects), every).store_if_due()


async def load(
    path: Path, objects: Objects, *streams: MemoryStream, every: int = 1
) -> Manifest | None:
    """Bring a file up to the best snapshot."""
    logs = [await Log.of(stream) for stream in streams]
    return await SnapshotLoader(path, objects, logs, every).load()


async def opened_objects(objects: Objects) -> Objects:
    """Return a store of objects, as what opens it does."""
    return objects


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


Damage = Callable[[Path], str]
"""Damages a folder with a snapshot, and returns what its refusal says."""


def part(folder: Path) -> Path:
    return min(folder.glob("*.duckdb.*"))


def cut_file(folder: Path) -> str:
    part(folder).write_bytes(part(folder).read_bytes()[:-1])
    return "has another checksum"


def flipped_bit(folder: Path) -> str:
    data = bytearray(part(folder).read_bytes())
    data[len(data) // 2] ^= 1
    part(folder).write_bytes(data)
    return "has another checksum"


def missing_part(folder: Path) -> str:
    part(folder).unlink()
    return "is missing"


def cut_manifest(folder: Path) -> str:
    [path] = folder.glob("*.json")
    path.write_bytes(path.read_bytes()[:-1])
    return "its manifest cannot be read"


def other_format(folder: Path) -> str:
    [path] = folder.glob("*.json")
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":2'))
    return "in another format"


def renamed_manifest(folder: Path) -> str:
    [path] = folder.glob("*.json")
    path.rename(folder / "20260101T000000000000Z-ffffff.json")
    return "its manifest is that of"


def changed_position(folder: Path) -> str:
    [path] = folder.glob("*.json")
    path.write_bytes(path.read_bytes().replace(b'"head":700', b'"head":701'))
    return "is not as its manifest says"


DAMAGES = [
    cut_file,
    flipped_bit,
    missing_part,
    cut_manifest,
    other_format,
    renamed_manifest,
    changed_position,
]
