"""A slow reader of a snapshot costs no memory, holds no transaction, and delays no other."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from threading import Event, Semaphore

import pytest

from eventhub.errors import Rejected, Unavailable
from eventhub.filters.query import Query
from eventhub.memory import MemoryStream
from eventhub.metrics import SNAPSHOTS
from projections import price
from projections import snapshot as module
from projections.projector import Projector
from projections.snapshot import LARGE_SLOTS, SMALL_SLOTS, DuckSnapshots
from projections.store import Store
from tests.projecting import Change, Row, history, opened, query, read_all
from tests.snapshotting import (
    ALL_ROWS,
    CHAT,
    OWN_CONNECTIONS,
    all_of,
    all_rows,
    connections,
    fill,
    run,
    spools,
    stored,
)


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the first rows of a snapshot go to a file."""
    monkeypatch.setattr(module, "MEMORY_BYTES", 0)


async def test_one_snapshot_has_any_number_of_readers(tmp_path: Path, no_memory: None) -> None:
    async with stored(tmp_path) as (_, snapshots):
        before = SNAPSHOTS.labels("chat")._value.get()
        async with opened(snapshots, CHAT) as snapshot, asyncio.TaskGroup() as group:
            tasks = [group.create_task(read_all(snapshot)) for _ in range(20)]
            await asyncio.wait(tasks)
        assert all(task.result() == ALL_ROWS for task in tasks)
        assert SNAPSHOTS.labels("chat")._value.get() == before + 1


async def test_a_small_snapshot_makes_no_file_however_slowly_it_is_read(
    tmp_path: Path, no_memory: None
) -> None:
    async with stored(tmp_path) as (store, snapshots):
        few = query(CHAT, _limit=["10"])
        async with AsyncExitStack() as held:
            for _ in range(3 * SMALL_SLOTS):
                await held.enter_async_context(opened(snapshots, CHAT, few))
            assert await connections(store) == OWN_CONNECTIONS
            assert spools(tmp_path) == 0


async def test_large_reads_have_few_slots_and_small_ones_do_not_wait_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB takes long for every reader that has a slot: as if its rows were endless."""
    for where in (module, price):
        monkeypatch.setattr(where, "QUICK_ROWS", 100)
    monkeypatch.setattr(module, "LARGE_WAIT_SECONDS", 0.05)
    begun, may_go_on = Semaphore(0), Event()

    def slow(rows: list[bytes]) -> bytes:
        begun.release()
        may_go_on.wait(10)
        return b"".join(rows)

    async with stored(tmp_path) as (_, snapshots), asyncio.TaskGroup() as group:
        tasks = [group.create_task(all_of(snapshots, slow, n)) for n in range(LARGE_SLOTS)]
        for _ in range(LARGE_SLOTS):
            await asyncio.to_thread(begun.acquire, timeout=10)
        with pytest.raises(Unavailable, match="too many"):
            await all_rows(snapshots)
        for few in ({"id": ["r7"]}, {"_limit": ["9"]}, {"votes<": ["5"]}):
            async with opened(snapshots, CHAT, query(CHAT, **few)) as snapshot:
                assert 0 < len(await read_all(snapshot)) < 10
        may_go_on.set()
        await asyncio.wait(tasks)
        assert await all_rows(snapshots) == ALL_ROWS


async def test_one_client_leaves_a_slot_for_large_reads_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for where in (module, price):
        monkeypatch.setattr(where, "QUICK_ROWS", 100)
    begun, may_go_on = Semaphore(0), Event()

    def slow(rows: list[bytes]) -> bytes:
        begun.release()
        may_go_on.wait(10)
        return b"".join(rows)

    async with stored(tmp_path) as (_, snapshots), asyncio.TaskGroup() as group:
        tasks = [group.create_task(all_of(snapshots, slow, "greedy")) for _ in range(9)]
        for _ in range(LARGE_SLOTS - 1):
            await asyncio.to_thread(begun.acquire, timeout=10)
        assert await all_rows(snapshots) == ALL_ROWS
        may_go_on.set()
        await asyncio.wait(tasks)


@pytest.mark.parametrize(("seconds", "is_refused"), [(1e-4, True), (4e-3, False)])
async def test_a_query_is_refused_by_the_real_content_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, is_refused: bool
) -> None:
    """DuckDB's statistics count rows that are gone: they alone refuse nothing."""
    monkeypatch.setattr(price, "MAX_SECONDS", seconds)
    monkeypatch.setattr(price, "QUICK_SECONDS", 0.0)
    changes: list[Change] = [("PUT", "x", {"text": "x" * 10_000})] * 2000
    large: list[Change] = [("POST", "x", {}), *changes]
    last: list[Change] = [
        ("PUT", "x", {"text": "x"}),
        *[("POST", f"r{n}", {"text": "x"}) for n in range(5000)],
    ]
    async with Store(tmp_path / "p", [CHAT]) as store:
        events = history(CHAT, [*large, *last])
        for start in range(0, len(events), 200):
            await store.append("chat", events[start : start + 200])
            await store.fold("chat")
        snapshots = DuckSnapshots(store, [Projector(store, MemoryStream(CHAT))])
        asked = query(CHAT, **{"text*": ["ss", "x"]})
        if is_refused:
            with pytest.raises(Rejected, match=r"text\*=") as caught:
                await read_all_of(snapshots, asked)
            assert caught.value.code == "too_costly"
        else:
            assert len(await read_all_of(snapshots, asked)) == 5001


async def read_all_of(snapshots: DuckSnapshots, asked: Query) -> list[tuple[int, Row]]:
    async with opened(snapshots, CHAT, asked) as snapshot:
        return await read_all(snapshot)


STALLED = """
import asyncio, sys, time
from contextlib import AsyncExitStack
from pathlib import Path
import psutil
from eventhub.logs import configure
from eventhub.memory import MemoryStream
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.projecting import opened
from tests.snapshotting import CHAT, connections

configure("warning", "json")

def megabytes():
    return psutil.Process().memory_info().rss >> 20

def sorts(connection):
    sql = "SELECT sum(memory_usage_bytes) FROM duckdb_memory() WHERE tag <> 'BASE_TABLE'"
    return connection.execute(sql).fetchone()[0] // 2**20

async def rest(parts):
    return sum([part.count(b"\\n") async for part in parts])

async def count(snapshots):
    async with opened(snapshots, CHAT) as snapshot, snapshot.reading() as parts:
        return await rest(parts)

async def main():
    async with Store(Path(sys.argv[1]), [CHAT]) as store, AsyncExitStack() as held:
        snapshots = DuckSnapshots(store, [Projector(store, MemoryStream(CHAT))])
        await count(snapshots)
        before, highest = megabytes(), 0
        stalled = []
        for _ in range(10):
            snapshot = await held.enter_async_context(opened(snapshots, CHAT))
            stalled.append(await held.enter_async_context(snapshot.reading()))
            await anext(stalled[-1])
            highest = max(highest, megabytes())
        started = time.monotonic()
        rows = await count(snapshots)
        seconds = time.monotonic() - started
        await connections(store)
        async with store.reader() as reader:
            held_by_sorts = await store.read(reader, sorts)
        rests = [await rest(each) for each in stalled]
        print(before, max(highest, megabytes()), held_by_sorts, rows, seconds, len(set(rests)))

asyncio.run(main())
"""


def test_ten_readers_that_stop_cost_no_memory_and_delay_no_other(tmp_path: Path) -> None:
    fill(tmp_path / "p", 50_000)
    words = run(STALLED, tmp_path / "p")
    before, highest, held_by_sorts, rows, seconds, outcomes = map(float, words[:6])
    assert (rows, outcomes) == (50_000, 1)
    assert seconds < 5
    assert held_by_sorts < 50
    assert highest < before + 600  # MB: five sorts, and what the allocator keeps of them


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from eventhub.errors import Rejected, Unavailable
from eventhub.filters.query import Query
from eventhub.logs import configure
from eventhub.memory import MemoryStream
from projections import price
from projections import snapshot as module
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.projecting import opened
from tests.snapshotting import CHAT, OWN_CONNECTIONS, connections

configure("warning", "json")
module.MEMORY_BYTES = 3 << 20

async def main():
    async with Store(Path(sys.argv[1]), [CHAT]) as store:
        snapshots = DuckSnapshots(store, [Projector(store, MemoryStream(CHAT))])
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        async with opened(snapshots, CHAT) as refused:
            try:
                async with refused.reading() as parts:
                    print(sum([part.count(b"\\n") async for part in parts]))
            except Unavailable as error:
                print(error)
        print("|", await connections(store) == OWN_CONNECTIONS)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        async with opened(snapshots, CHAT) as other, other.reading() as parts:
            print(sum([part.count(b"\\n") async for part in parts]))

asyncio.run(main())
"""


def test_a_full_disk_refuses_rows_that_do_not_fit_into_memory(tmp_path: Path) -> None:
    fill(tmp_path / "p", 5000)
    output = " ".join(run(FULL_DISK, tmp_path / "p"))
    assert output.startswith("the rest of the snapshot cannot be kept: ")
    assert " | True 5000" in output
    assert "snapshot_failed" in output
