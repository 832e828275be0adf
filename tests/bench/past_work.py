"""Past work: past states and histories of rows in one process, from tables made of memory.

A child (see `child`). It fills the tables once, and then reads as a hub does for a GET.
"""

import os
import random
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from eventhub import logs as log
from eventhub.channel import Channel
from eventhub.delivery.versions import read_versions
from eventhub.event import SealedEvent, encode
from eventhub.filters.query import parse
from eventhub.memory import MemoryStream
from eventhub.snapshots import RowHead
from projections.backlog import BATCH_EVENTS
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.bench.child import answer, setup
from tests.bench.events import channel_of, post
from tests.bench.machine import spending
from tests.bench.table_work import batched


def past(folder: Path, *, events: int, rows: int, size: int, repeat: int) -> dict[str, Any]:
    """Read past states, and the history of one row, in a table of so many events and rows."""
    channel = channel_of(folder)

    async def run() -> dict[str, Any]:
        async with Store(folder / "data" / "past.duckdb", [channel]) as store:
            await store.reset(channel.name, "bench")
            for batch in batched(changed(channel, events, rows, size), BATCH_EVENTS):
                await store.append(channel.name, batch)
            await store.fold(channel.name)
            snapshots = DuckSnapshots(store, [Projector(store, MemoryStream(channel))])
            chance = random.Random(1)

            async def state() -> int:
                asked = parse({"_limit": ["100"]}, channel.columns)
                asked = asked.past(chance.randrange(events // 2, events))
                async with (
                    snapshots.read(
                        channel.name, asked, b"\n".join, row_head=RowHead.NONE, at_least=0
                    ) as snapshot,
                    snapshot.reading() as parts,
                ):
                    return sum([part.count(b"\n") + 1 async for part in parts])

            async def history() -> int:
                row_id = id_of(chance.randrange(1, rows + 1))
                found = read_versions(snapshots, channel.name, row_id, events, None)
                async with aclosing(found):
                    return sum([len(page) async for page in found])

            return {"state": await spent(state, repeat), "history": await spent(history, repeat)}

    return uvloop.run(run())


async def spent(read: Callable[[], Awaitable[int]], repeat: int) -> dict[str, float]:
    """Return milliseconds of CPU and of time of one read, and what it found on average."""
    await read()  # DuckDB's memory holds the columns then, as in a running hub
    found, began = 0, time.perf_counter()
    with spending(os.getpid()) as took:
        for _ in range(repeat):
            found += await read()
    wall = time.perf_counter() - began
    return {"cpu": took.cpu / repeat * 1e3, "wall": wall / repeat * 1e3, "found": found / repeat}


def changed(channel: Channel, events: int, rows: int, size: int) -> Iterator[SealedEvent]:
    """Return rows that are made, and then changed at random, the same each time."""
    chance = random.Random(7)
    for sequence in range(1, events + 1):
        number = sequence if sequence <= rows else chance.randrange(1, rows + 1)
        event = post(channel, sequence, size)
        message = {**event.message, "id": id_of(number)}
        event = msgspec.structs.replace(
            event, id=id_of(number), message=message, row=channel.columns.new_row(message)
        )
        if sequence > rows:
            event = msgspec.structs.replace(
                event, method="PUT", created=number, was={"n": sequence - 1}
            )
        yield SealedEvent(sequence, encode(event))


def id_of(number: int) -> str:
    """Return an id as the hub makes them: 22 characters, whose order means nothing."""
    return urlsafe_b64encode(blake2b(b"%d" % number, digest_size=16).digest())[:22].decode()


def main(*, folder: str) -> None:
    """Answer each question with a run on the folder."""
    log.configure("warning", "auto")  # standard output is for the answers

    def respond(**question: Any) -> dict[str, Any]:
        return past(Path(folder), **question)

    answer(respond)


if __name__ == "__main__":
    main(**setup())
