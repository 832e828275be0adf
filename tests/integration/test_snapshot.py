"""A slow reader of a snapshot costs no memory, holds no transaction, and harms nobody."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import duckdb
import pytest

from eventhub.errors import Unavailable
from eventhub.memory import MemoryStream
from projections import snapshot as module
from projections.projector import Projector
from projections.snapshot import BLOCK_ROWS, CHUNK_BYTES, CHUNK_ROWS, MAX_OPEN, DuckSnapshots
from projections.spool import Chunk
from projections.store import Store
from tests.integration.test_projection import CHAT, OWN_CONNECTIONS, connections
from tests.projecting import Row, history, query, read_all, rows_after

POSTED = history(CHAT, [("POST", f"r{n}", {"votes": n}) for n in range(5000)])
CHANGED = history(
    CHAT,
    [("POST", f"r{n}", {"votes": n}) for n in range(5000)]
    + [("PUT" if n % 2 else "DELETE", f"r{n}", {"votes": -1}) for n in range(5000)],
)
ALL_ROWS = [(seq, row) for seq, _, row in rows_after(POSTED).values()]


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[tuple[Store, DuckSnapshots]]:
    """A store of 5,000 rows that nothing writes to."""
    async with Store(path / "p", [CHAT]) as store:
        await store.append("chat", POSTED)
        await store.fold("chat")
        yield store, DuckSnapshots(store, [Projector(store, MemoryStream(CHAT))])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers count as slow very soon."""
    monkeypatch.setattr(module, "SPOOL_AFTER_SECONDS", 0.02)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.005)


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
    async with asyncio.timeout(5):
        while spools(folder) != count:
            await asyncio.sleep(0.005)


async def all_rows(snapshots: DuckSnapshots) -> list[tuple[int, Row]]:
    async with snapshots.read("chat", query(CHAT), at_least=0) as snapshot:
        return await read_all(snapshot)


async def test_a_reader_that_stops_holds_no_transaction_and_misses_nothing(
    tmp_path: Path, impatient: None
) -> None:
    async with opened(tmp_path) as (store, snapshots):
        async with snapshots.read("chat", query(CHAT), at_least=0) as snapshot:
            chunks = snapshot.chunks()
            rows = await anext(chunks)
            assert await connections(store) == OWN_CONNECTIONS
            await store.append("chat", CHANGED)
            await store.fold("chat")
            rows += [row async for chunk in chunks for row in chunk]
        assert [sequence for sequence, _ in rows] == [sequence for sequence, _ in ALL_ROWS]
        assert all('"votes":-1' not in text for _, text in rows)
        assert len(await all_rows(snapshots)) == 2500
        await until_spools_are(0, tmp_path)


async def test_a_reader_that_never_begins_holds_no_transaction(
    tmp_path: Path, impatient: None
) -> None:
    async with (
        opened(tmp_path) as (store, snapshots),
        snapshots.read("chat", query(CHAT), at_least=0) as snapshot,
    ):
        assert await connections(store) == OWN_CONNECTIONS
        assert await read_all(snapshot) == ALL_ROWS


async def test_the_last_row_ends_the_transaction_however_slowly_it_is_sent(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, snapshots):
        few = query(CHAT, _limit=["10"])
        async with AsyncExitStack() as held:
            for _ in range(3 * MAX_OPEN):
                await held.enter_async_context(snapshots.read("chat", few, at_least=0))
            assert await connections(store) == OWN_CONNECTIONS
            assert spools(tmp_path) == 0


async def test_readers_that_stop_make_room_for_others(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, snapshots), AsyncExitStack() as held, asyncio.timeout(8):
        for _ in range(2 * MAX_OPEN):
            stopped = snapshots.read("chat", query(CHAT), at_least=0)
            await anext((await held.enter_async_context(stopped)).chunks())
        assert await all_rows(snapshots) == ALL_ROWS


async def test_readers_that_are_slow_but_never_stop_make_room_for_others(
    tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", BLOCK_ROWS)

    async def slow(snapshots: DuckSnapshots, started: asyncio.Event) -> int:
        read = 0
        async with snapshots.read("chat", query(CHAT), at_least=0) as snapshot:
            async for chunk in snapshot.chunks():
                read += len(chunk)
                started.set()
                await asyncio.sleep(0.015)
        return read

    async with opened(tmp_path) as (_, snapshots), asyncio.TaskGroup() as group:
        tasks = []
        for _ in range(MAX_OPEN):
            started = asyncio.Event()
            tasks.append(group.create_task(slow(snapshots, started)))
            await started.wait()
        assert await all_rows(snapshots) == ALL_ROWS
        assert not any(task.done() for task in tasks)
    assert [task.result() for task in tasks] == [5000] * MAX_OPEN


async def test_who_gets_no_turn_is_told_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(module, "SPOOL_AFTER_SECONDS", 60)
    async with opened(tmp_path) as (_, snapshots):
        async with AsyncExitStack() as held:
            for _ in range(MAX_OPEN):
                await held.enter_async_context(snapshots.read("chat", query(CHAT), at_least=0))
            with pytest.raises(Unavailable, match="too many"):
                await all_rows(snapshots)
        assert await all_rows(snapshots) == ALL_ROWS


async def test_large_rows_come_in_small_chunks(tmp_path: Path) -> None:
    large = history(CHAT, [("POST", f"r{n}", {"text": "x" * 20_000}) for n in range(400)])
    async with Store(tmp_path / "p", [CHAT]) as store:
        await store.append("chat", large)
        await store.fold("chat")
        snapshots = DuckSnapshots(store, [Projector(store, MemoryStream(CHAT))])
        async with snapshots.read("chat", query(CHAT), at_least=0) as snapshot:
            chunks = [chunk async for chunk in snapshot.chunks()]
    assert sum(map(len, chunks)) == 400
    assert max(map(weight, chunks)) < CHUNK_BYTES + BLOCK_ROWS * 20_200


def weight(chunk: Chunk) -> int:
    return sum(len(text) for _, text in chunk)


async def test_small_rows_come_a_thousand_at_a_time(tmp_path: Path) -> None:
    async with (
        opened(tmp_path) as (_, snapshots),
        snapshots.read("chat", query(CHAT), at_least=0) as snapshot,
    ):
        sizes = [len(chunk) async for chunk in snapshot.chunks()]
    assert sizes == [CHUNK_ROWS] * 5


async def test_whoever_is_cancelled_at_whatever_moment_leaves_nothing_behind(
    tmp_path: Path, impatient: None
) -> None:
    """Moments from before the first step to the reading of the file, with and without a queue."""

    async def reader(snapshots: DuckSnapshots) -> None:
        async with snapshots.read("chat", query(CHAT), at_least=0) as snapshot:
            async for _ in snapshot.chunks():
                await asyncio.sleep(0.01 if spools(tmp_path) else 0.03)

    async with opened(tmp_path) as (store, snapshots):
        async with asyncio.timeout(40), asyncio.TaskGroup() as group:
            for step in range(60):
                tasks = [
                    group.create_task(reader(snapshots)) for _ in range(1 + step % 2 * 2 * MAX_OPEN)
                ]
                await asyncio.sleep(step * 0.001)
                for task in tasks:
                    task.cancel()
        assert await connections(store) == OWN_CONNECTIONS
        await until_spools_are(0, tmp_path)
        async with AsyncExitStack() as held, asyncio.timeout(5):
            for _ in range(MAX_OPEN):
                await held.enter_async_context(snapshots.read("chat", query(CHAT), at_least=0))


def fill(path: Path, rows: int) -> None:
    """Make the tables, and fill one with rows of 1 KB, in no order that a sort could skip."""

    async def create() -> None:
        async with Store(path, [CHAT]):
            pass

    asyncio.run(create())
    with duckdb.connect(path) as connection:
        connection.execute(
            "INSERT INTO chat (id, text, _seq, _created_seq)"
            " SELECT 'r' || n, repeat(md5(n::VARCHAR), 32), n, (n * 7919) % 1000003"
            f" FROM range(1, {rows + 1}) numbers(n)"
        )


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


STALLED = """
import asyncio, sys, time
from contextlib import AsyncExitStack
from pathlib import Path
import psutil
from eventhub.log import configure
from eventhub.memory import MemoryStream
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.integration.test_projection import CHAT, connections
from tests.projecting import query

configure("warning", "json")

def megabytes():
    return psutil.Process().memory_info().rss >> 20

def sorts(connection):
    sql = "SELECT sum(memory_usage_bytes) FROM duckdb_memory() WHERE tag <> 'BASE_TABLE'"
    return connection.execute(sql).fetchone()[0] // 2**20

async def count(snapshots):
    async with snapshots.read("chat", query(CHAT), at_least=0) as snapshot:
        return sum([len(chunk) async for chunk in snapshot.chunks()])

async def main():
    async with Store(Path(sys.argv[1]), [CHAT]) as store, AsyncExitStack() as held:
        snapshots = DuckSnapshots(store, [Projector(store, MemoryStream(CHAT))])
        await count(snapshots)
        before, highest = megabytes(), 0
        stalled = []
        for _ in range(10):
            opened = await held.enter_async_context(
                snapshots.read("chat", query(CHAT), at_least=0)
            )
            stalled.append(opened.chunks())
            await anext(stalled[-1])
            highest = max(highest, megabytes())
        started = time.monotonic()
        rows = await count(snapshots)
        seconds = time.monotonic() - started
        await connections(store)
        async with store.reader() as reader:
            held_by_sorts = await store.read(reader, sorts)
        rest = [sum([len(chunk) async for chunk in each]) for each in stalled]
        print(before, max(highest, megabytes()), held_by_sorts, rows, seconds, len(set(rest)))

asyncio.run(main())
"""


def test_ten_readers_that_stop_cost_no_memory_and_keep_no_other_waiting(tmp_path: Path) -> None:
    fill(tmp_path / "p", 100_000)
    words = run(STALLED, tmp_path / "p")
    before, highest, held_by_sorts, rows, seconds, outcomes = map(float, words[:6])
    assert (rows, outcomes) == (100_000, 1)
    assert seconds < 5
    assert held_by_sorts < 50
    assert highest < before + 900  # MB: MAX_OPEN sorts, and what the allocator keeps of them


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from eventhub.errors import Unavailable
from eventhub.log import configure
from eventhub.memory import MemoryStream
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.integration.test_projection import CHAT, OWN_CONNECTIONS, connections
from tests.projecting import query

configure("warning", "json")

async def main():
    async with Store(Path(sys.argv[1]), [CHAT]) as store:
        snapshots = DuckSnapshots(store, [Projector(store, MemoryStream(CHAT))])
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        async with snapshots.read("chat", query(CHAT), at_least=0) as stalled:
            chunks = stalled.chunks()
            await anext(chunks)
            print(await connections(store) == OWN_CONNECTIONS)
            async with snapshots.read("chat", query(CHAT), at_least=0) as other:
                print(sum([len(chunk) async for chunk in other.chunks()]))
            try:
                print([len(chunk) async for chunk in chunks])
            except Unavailable as error:
                print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

asyncio.run(main())
"""


def test_a_full_disk_harms_only_the_reader_that_stopped(tmp_path: Path) -> None:
    fill(tmp_path / "p", 5000)
    words = run(FULL_DISK, tmp_path / "p")
    assert words[:2] == ["True", "5000"]
    assert " ".join(words).startswith("True 5000 the rest of the snapshot cannot be kept: ")
    assert "snapshot_spool_failed" in " ".join(words)
