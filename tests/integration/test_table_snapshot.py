"""A snapshot is made in bounded steps, and each of its readers gets all of it or its failure."""

import asyncio
from pathlib import Path
from threading import Event

import pytest

from eventhub.errors import Rejected, Unavailable
from eventhub.memory import MemoryStream
from eventhub.snapshots import Render, RowHead, Snapshot
from projections import snapshot as module
from projections import table_snapshot
from projections.projector import Projector
from projections.snapshot import SMALL_SLOTS, DuckSnapshots
from projections.store import Store
from projections.table_snapshot import BLOCK_ROWS, CHUNK_BYTES, CHUNK_ROWS
from tests.projecting import history, opened, query, read_all
from tests.snapshotting import (
    ALL_ROWS,
    CHANGED,
    CHAT,
    OWN_CONNECTIONS,
    all_of,
    all_rows,
    connections,
    spools,
    stored,
    until_spools_are,
)


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the first rows of a snapshot go to a file."""
    monkeypatch.setattr(module, "MEMORY_BYTES", 0)


async def test_a_reader_that_starts_late_holds_no_transaction_and_misses_nothing(
    tmp_path: Path, no_memory: None
) -> None:
    async with stored(tmp_path) as (store, snapshots):
        async with opened(snapshots, CHAT) as snapshot:
            assert await connections(store) == OWN_CONNECTIONS
            assert spools(tmp_path) == 1
            await store.append("chat", CHANGED)
            await store.fold("chat")
            assert await read_all(snapshot) == ALL_ROWS
        assert len(await all_rows(snapshots)) == 2500
        await until_spools_are(0, tmp_path)


async def test_a_query_that_finds_nothing_in_time_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_snapshot, "QUERY_SECONDS", 0.05)
    may_go_on = Event()

    def slow(rows: list[bytes]) -> bytes:
        may_go_on.wait(10)
        return b"".join(rows)

    async with stored(tmp_path) as (store, snapshots):
        with pytest.raises(Rejected, match="not found in") as caught:
            await all_of(snapshots, slow)
        assert caught.value.code == "too_costly"
        may_go_on.set()
        assert await connections(store) == OWN_CONNECTIONS


async def test_large_rows_are_rendered_a_few_at_a_time(tmp_path: Path) -> None:
    large = history(CHAT, [("POST", f"r{n}", {"text": "x" * 20_000}) for n in range(400)])
    chunks: list[list[bytes]] = []
    async with Store(tmp_path / "p", [CHAT]) as store:
        await store.append("chat", large)
        await store.fold("chat")
        snapshots = DuckSnapshots(store, [Projector(store, MemoryStream(CHAT))])
        await all_of(snapshots, noting(chunks))
    assert sum(map(len, chunks)) == 400
    assert max(sum(map(len, chunk)) for chunk in chunks) < CHUNK_BYTES + BLOCK_ROWS * 20_200


def noting(chunks: list[list[bytes]]) -> Render:
    """Render rows, and note which."""

    def render(rows: list[bytes]) -> bytes:
        chunks.append(rows)
        return b"".join(rows)

    return render


async def test_small_rows_are_rendered_a_thousand_at_a_time(tmp_path: Path) -> None:
    chunks: list[list[bytes]] = []
    async with stored(tmp_path) as (_, snapshots):
        await all_of(snapshots, noting(chunks))
    assert [len(chunk) for chunk in chunks] == [CHUNK_ROWS] * 5


async def read_into(found: bytearray, snapshot: Snapshot) -> None:
    async with snapshot.reading() as parts:
        async for part in parts:
            found += part


async def test_every_reader_gets_a_failure_at_the_place_where_it_happened(tmp_path: Path) -> None:
    """And the next snapshot is not concerned."""
    chunks: list[list[bytes]] = []

    def fail(rows: list[bytes]) -> bytes:
        chunks.append(rows)
        if len(chunks) == 3:
            raise ValueError("a bug")
        return b"".join(rows)

    async with stored(tmp_path) as (store, snapshots):
        async with snapshots.read(
            "chat", query(CHAT), fail, row_head=RowHead.NONE, at_least=0
        ) as snapshot:
            for _ in range(2):
                found = bytearray()
                with pytest.raises(Unavailable, match="cannot be kept: a bug"):
                    await read_into(found, snapshot)
                assert found == b"".join(chunks[0] + chunks[1])
            assert await connections(store) == OWN_CONNECTIONS
        assert await all_rows(snapshots) == ALL_ROWS


async def test_a_read_cancelled_at_any_moment_leaves_nothing_behind(
    tmp_path: Path, no_memory: None
) -> None:
    """Moments from before the first step to the reading of the file, with and without a queue."""

    async def reader(snapshots: DuckSnapshots) -> None:
        async with opened(snapshots, CHAT) as snapshot, snapshot.reading() as parts:
            async for _ in parts:
                await asyncio.sleep(0.01)

    async with stored(tmp_path) as (store, snapshots):
        async with asyncio.timeout(40), asyncio.TaskGroup() as group:
            for step in range(60):
                tasks = [
                    group.create_task(reader(snapshots))
                    for _ in range(1 + step % 2 * 2 * SMALL_SLOTS)
                ]
                await asyncio.sleep(step * 0.001)
                for task in tasks:
                    task.cancel()
        assert await connections(store) == OWN_CONNECTIONS
        await until_spools_are(0, tmp_path)
        assert await all_rows(snapshots) == ALL_ROWS
