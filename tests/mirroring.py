"""Builders for tests of mirrors: a table, its history, and what is proven of it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.memory import MemoryStream
from projections.mirror import Mirror
from projections.mirror_table import MirrorTable
from projections.mirror_verify import verify_mirror
from projections.verify import Difference, Report
from tests.database_server import DatabaseServer
from tests.databases import Database, Sqlite
from tests.projecting import Change, history, write

CHANNEL = Channel("simple", Columns([Column("body"), Column("votes", Kind.INTEGER)]))


SELECT = "SELECT id, body, votes FROM simple"


CHANGES: list[Change] = [
    ("POST", "a", {"body": "first", "votes": 2**40}),
    ("POST", "b", {"body": "second"}),
    ("POST", "c", {"body": None, "votes": -1}),
    ("PUT", "a", {"body": "changed"}),
    ("DELETE", "b", {}),
    ("POST", "d", {"body": "ünï"}),
]


ROWS = [("a", "changed", 2**40), ("c", None, -1), ("d", "ünï", None)]


async def written(channel: Channel, *changes: Change) -> MemoryStream:
    stream = MemoryStream(channel)
    await write(stream, history(channel, changes))
    return stream


def opened(database: Database, channel: Channel = CHANNEL) -> MirrorTable:
    return MirrorTable(channel, database.url)


@asynccontextmanager
async def mirrored(database: Database, stream: MemoryStream) -> AsyncIterator[Mirror]:
    """Run a mirror for the length of a block."""
    mirror = Mirror(opened(database, stream.channel), stream)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(mirror.run())
        yield mirror
        task.cancel()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def mirror_all(database: Database, stream: MemoryStream) -> None:
    async with mirrored(database, stream) as mirror:
        await until(lambda: mirror.head == stream.length)


async def proved(database: Database, stream: MemoryStream) -> tuple[Report, list[Difference]]:
    table, found = opened(database, stream.channel), list[Difference]()
    report = await verify_mirror(table, stream, found.append, lambda _reached, _last: None)
    table.close()
    return report, found


LOCKS = {
    "PostgreSQL": ("BEGIN", "LOCK TABLE simple"),
    "MariaDB": ("LOCK TABLES simple WRITE",),
}


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Let another program lock the table for the length of a block."""
    if isinstance(database, Sqlite):
        with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
        return
    assert isinstance(database, DatabaseServer)
    with closing(database.connect()) as other, other.cursor() as cursor:
        for statement in LOCKS[database.name]:
            cursor.execute(statement)
        yield
