"""A table of rows for tests of snapshots, and what their readers leave behind."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from pathlib import Path

import duckdb

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.memory import MemoryStream
from eventhub.snapshots import Render, RowHead
from projections.progress import Progress, write_checkpoint, write_watermark
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.projecting import Row, history, opened, query, read_all, rows_after

CHAT = Channel("chat", Columns([Column("votes", Kind.INTEGER), Column("text")]))
OWN_CONNECTIONS = 3
"""Connections of a store with one reader: the root, the writer's and the reader's."""


def count_connections(connection: duckdb.DuckDBPyConnection) -> int:
    """Return how many connections DuckDB has."""
    [(count,)] = connection.execute("SELECT * FROM duckdb_connection_count()").fetchall()
    return int(count)


async def connections(store: Store) -> int:
    """Return how many connections DuckDB has, once the releases that are under way are done."""
    async with asyncio.timeout(40), store.reader() as reader:
        while (count := await store.read(reader, count_connections)) > OWN_CONNECTIONS:
            await asyncio.sleep(0.01)
    return count


POSTED = history(CHAT, [("POST", f"r{n}", {"votes": n}) for n in range(5000)])
CHANGED = history(
    CHAT,
    [("POST", f"r{n}", {"votes": n}) for n in range(5000)]
    + [("PUT" if n % 2 else "DELETE", f"r{n}", {"votes": -1}) for n in range(5000)],
)
ALL_ROWS = [(seq, row) for seq, _, row in rows_after(POSTED).values()]


@asynccontextmanager
async def stored(path: Path) -> AsyncIterator[tuple[Store, DuckSnapshots]]:
    """A store of 5,000 rows that nothing writes to."""
    async with Store(path / "p", [CHAT]) as store:
        await store.append("chat", POSTED)
        await store.fold("chat")
        yield store, DuckSnapshots(store, [Projector(store, MemoryStream(CHAT))])


def spools(folder: Path) -> int:
    """Return how many files without a name this process has open in a folder."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:
            continue
        found += target.startswith(f"{folder}/") and target.endswith("(deleted)")
    return found


async def until_spools_are(count: int, folder: Path) -> None:
    async with asyncio.timeout(40):
        while spools(folder) != count:
            await asyncio.sleep(0.005)


async def all_rows(snapshots: DuckSnapshots) -> list[tuple[int, Row]]:
    async with opened(snapshots, CHAT) as snapshot:
        return await read_all(snapshot)


async def all_of(snapshots: DuckSnapshots, render: Render, client: Hashable = None) -> bytes:
    async with (
        snapshots.read(
            "chat", query(CHAT), render, row_head=RowHead.NONE, at_least=0, client=client
        ) as snapshot,
        snapshot.reading() as parts,
    ):
        return b"".join([part async for part in parts])


def fill(path: Path, rows: int) -> None:
    """Make the tables, and fill them with rows of 1 KB, in no order that a sort could skip."""

    async def create() -> None:
        async with Store(path, [CHAT]):
            pass

    asyncio.run(create())
    with duckdb.connect(path) as connection:
        connection.execute(
            "INSERT INTO chat_history (id, text, _method, _seq, _created_seq)"
            " SELECT 'r' || n, repeat(md5(n::VARCHAR), 32), 'PUT', n, (n * 7919) % 1000003"
            f" FROM range(1, {rows + 1}) numbers(n)"
        )
        connection.execute(
            "INSERT INTO chat BY NAME SELECT id, text, _seq, _created_seq FROM chat_history"
        )
        progress = Progress(head=rows, watermark=rows)
        write_checkpoint(connection, CHAT.name, progress)
        write_watermark(connection, CHAT.name, progress)


def run(script: str, *arguments: object) -> list[str]:
    """Run a script in a process of its own; return the words it printed."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return [*done.stdout.split(), *done.stderr.split()]
