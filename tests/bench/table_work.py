"""Table work: the projection in one process, fed with events from memory, and its limits.

A child (see `child`). `project` is what the projector does with what it has read; `append` is
DuckDB's bulk append of the same columns; `to_json` reads a snapshot and sends it nowhere.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import uvloop

from eventhub import logs as log
from eventhub.event import SealedEvent, StoredEvent, encode
from projections.backlog import BATCH_EVENTS
from projections.database import MAX_WAL_BYTES
from projections.pages import row_json
from projections.projector import FOLD_EVENTS
from projections.store import Store
from projections.table_snapshot import CHUNK_ROWS
from projections.tables import OWN_TABLES, Tables, create
from tests.bench.child import answer, setup
from tests.bench.events import channel_of, mixed
from tests.bench.machine import spending

EPOCH = "bench"
T = TypeVar("T")


def project(folder: Path, *, events: int, size: int) -> dict[str, Any]:
    """Store events and fold them, in the batches of a projector that has a backlog."""
    channel = channel_of(folder)
    sealed = (SealedEvent(it.sequence, encode(it.event)) for it in mixed(channel, events, size))
    batches = list(batched(sealed, BATCH_EVENTS))

    async def run() -> dict[str, Any]:
        async with Store(folder / "data" / f"project-{events}.duckdb", [channel]) as store:
            await store.reset(channel.name, EPOCH)
            with spending(os.getpid()) as spent:
                for batch in batches:
                    progress = await store.append(channel.name, batch)
                    if progress.head - progress.watermark >= FOLD_EVENTS:
                        await store.fold(channel.name)
                await store.fold(channel.name)
        return {"count": events, "seconds": spent.wall, "cpu": spent.cpu}

    return uvloop.run(run())


def append(folder: Path, *, events: int, size: int) -> dict[str, Any]:
    """Insert finished Arrow tables of the history's columns, a transaction for each."""
    tables = Tables(channel_of(folder))
    history = mixed(tables.channel, events, size)
    batches = [as_arrow(tables, batch) for batch in batched(history, BATCH_EVENTS)]
    path = folder / "data" / f"append-{events}.duckdb"
    path.parent.mkdir(exist_ok=True)
    with duckdb.connect(path, config={"checkpoint_threshold": f"{MAX_WAL_BYTES >> 20}MB"}) as it:
        it.execute(OWN_TABLES)
        create(it, tables)
        with spending(os.getpid()) as spent:
            for batch in batches:
                it.register("_batch", batch)
                it.execute(f"INSERT INTO {tables.history} BY NAME SELECT * FROM _batch")
                it.unregister("_batch")
    return {"count": events, "seconds": spent.wall, "cpu": spent.cpu}


def as_arrow(tables: Tables, batch: list[StoredEvent]) -> pa.Table:
    """Return events as the columns of the history: times as text, the rest as it is."""
    rows = [
        {
            "_seq": stored.sequence,
            "_created_seq": stored.created,
            "_time": stored.event.time.removesuffix("Z"),
            "_method": stored.event.method,
            "_user": stored.event.user,
            "_endpoint": stored.event.endpoint,
            **(stored.event.row or {"id": stored.event.id}),
        }
        for stored in batch
    ]
    # Column by column: where a column is NULL in all rows, Arrow would not know its type.
    integers = {"_seq", "_created_seq", "n"}
    return pa.table(
        {
            name: pa.array(
                [row.get(name) for row in rows], pa.int64() if name in integers else pa.string()
            )
            for name in tables.history_names
        }
    )


def to_json(folder: Path, *, repeat: int) -> dict[str, Any]:
    """Read all current rows as JSON, in a thread, so many times."""
    channel = channel_of(folder)
    tables = Tables(channel)
    row = row_json(tables, channel.columns.names)
    statement = f"SELECT encode({row}) FROM (FROM {tables.current} ORDER BY _created_seq)"

    def read(connection: duckdb.DuckDBPyConnection) -> int:
        connection.execute(statement)
        rows = 0
        while chunk := connection.fetchmany(CHUNK_ROWS):
            rows += len(chunk)
        return rows

    async def run() -> dict[str, Any]:
        path = folder / "data" / "projection.duckdb"
        async with Store(path, [channel]) as store, store.reader() as reader:
            await store.read(reader, read)  # into DuckDB's memory, as it is in a running hub
            rows = 0
            with spending(os.getpid()) as spent:
                for _ in range(repeat):
                    rows += await store.read(reader, read)
        return {"count": rows, "seconds": spent.wall, "cpu": spent.cpu}

    return uvloop.run(run())


def batched(events: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut events into batches."""
    rest = iter(events)
    while batch := list(islice(rest, size)):
        yield batch


WORK: dict[str, Callable[..., dict[str, Any]]] = {
    "project": project,
    "append": append,
    "to_json": to_json,
}


def main(*, work: str, folder: str) -> None:
    """Answer each question with a run of the work on the folder."""

    log.configure("warning", "auto")  # standard output is for the answers

    def respond(**question: Any) -> dict[str, Any]:
        return WORK[work](Path(folder), **question)

    answer(respond)


if __name__ == "__main__":
    main(**setup())
