"""A slow reader of a snapshot costs no memory, holds no transaction, and delays no other."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from threading import Event, Semaphore

import duckdb
import pytest

from eventhub.errors import Rejected, Unavailable
from eventhub.filters.query import Query
from eventhub.memory import MemoryStream
from eventhub.metrics import SNAPSHOTS
from eventhub.snapshots import Render, Snapshot
from projections import price, table_snapshot
from projections import snapshot as module
from projections.projector import Projector
from projections.snapshot import LARGE_SLOTS, SMALL_SLOTS, DuckSnapshots
from projections.store import Store
from projections.table_snapshot import BLOCK_ROWS, CHUNK_BYTES, CHUNK_ROWS
from tests.integration.test_projector import CHAT, OWN_CONNECTIONS, connections
from tests.projecting import Change, Row, history, opened, query, read_all, rows_after

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
    async with asyncio.timeout(5):
        while spools(folder) != count:
            await asyncio.sleep(0.005)


async def all_rows(snapshots: DuckSnapshots) -> list[tuple[int, Row]]:
    async with opened(snapshots, CHAT) as snapshot:
        return await read_all(snapshot)


async def all_of(snapshots: DuckSnapshots, render: Render, client: Hashable = None) -> bytes:
    async with (
        snapshots.read(
            "chat", query(CHAT), render, sequenced=False, at_least=0, client=client
        ) as snapshot,
        snapshot.reading() as parts,
    ):
        return b"".join([part async for part in parts])


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
            "chat", query(CHAT), fail, sequenced=False, at_least=0
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
from eventhub.logs import configure
from eventhub.memory import MemoryStream
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.integration.test_projector import CHAT, connections
from tests.projecting import opened

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
from tests.integration.test_projector import CHAT, OWN_CONNECTIONS, connections
from tests.projecting import opened

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
