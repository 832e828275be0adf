"""The tables of a hub, served on its socket, for tests of both ends."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from eventhub.queries import Queries
from projections.projector import Projector
from projections.store import Store
from projections.tables_server import TablesServer
from projections.tables_socket import is_served
from tests.builders import channel
from tests.projecting import history

CHAT = channel()
EVENTS = history(
    CHAT,
    [("POST", f"r{n}", {"text": "x", "votes": n}) for n in range(5)]
    + [("PUT", "r1", {"votes": 10}), ("DELETE", "r2", {})],
)


@asynccontextmanager
async def filled(folder: Path) -> AsyncIterator[Store]:
    """A store that holds the events."""
    async with Store(folder / "p", [CHAT]) as store:
        await store.begin("chat", "e1")
        await store.append("chat", EVENTS)
        await store.fold("chat")
        yield store


@asynccontextmanager
async def served(
    folder: Path,
    store: Store,
    queries: Mapping[str, Queries] | None = None,
    projectors: Mapping[str, Projector] | None = None,
) -> AsyncIterator[None]:
    """Serve a store on the socket of a folder."""
    stop = asyncio.Event()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        server = TablesServer(folder, store, queries=queries, projectors=projectors)
        group.create_task(server.run(stop))
        while not is_served(folder):
            await asyncio.sleep(0)
        try:
            yield
        finally:
            stop.set()
