"""The projection never loses, repeats or invents an event: under load, kills and full disks."""

import asyncio
import random
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from prometheus_client import REGISTRY

import projections.projector
from eventhub.background import background
from eventhub.demand import Demand
from eventhub.errors import Unavailable
from eventhub.event import Sealed, StoredEvent
from eventhub.feed import Feed, Pause
from eventhub.memory import MemoryStream
from projections.projector import FEW_BYTES, FEW_EVENTS, FEW_SECONDS, Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.projecting import Change, history, opened, proved, query, read_all, rows_after, write
from tests.snapshotting import (
    CHAT,
    OWN_CONNECTIONS,
    connections,
)
from tests.subscribing import eventually


def changes(count: int, rows: int, seed: int = 7) -> list[Change]:
    """A mix of changes of a few rows; those that make no sense are left out by `history`."""
    chance = random.Random(seed)
    return [
        (
            chance.choice(["POST", "PUT", "PUT", "DELETE"]),
            f"r{chance.randrange(rows)}",
            {"votes": n, "text": "x" * chance.randrange(80)},
        )
        for n in range(count)
    ]


EVENTS = history(CHAT, changes(6000, 300))


@asynccontextmanager
async def running(
    store: Store, stream: MemoryStream, few_seconds: float = FEW_SECONDS
) -> AsyncIterator[Projector]:
    """Run a projector during the test."""
    projector = Projector(store, stream, few_seconds=few_seconds)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(projector.run())
        try:
            yield projector
        finally:
            task.cancel()


def ignore_progress(reached: int, last: int) -> None:
    """Progress that is not shown."""


async def test_a_snapshot_has_all_rows_up_to_its_sequence_in_order_of_creation(
    tmp_path: Path,
) -> None:
    stream = MemoryStream(CHAT)
    async with Store(tmp_path / "p", [CHAT]) as store, running(store, stream) as projector:
        snapshots = DuckSnapshots(store, [projector])
        for end in (1, 2, 500, len(EVENTS)):
            await write(stream, EVENTS[stream.length : end])
            async with opened(snapshots, CHAT, at_least=end) as snapshot:
                rows = await read_all(snapshot)
            expected = rows_after(EVENTS[: snapshot.sequence])
            assert snapshot.sequence >= end
            assert rows == [(seq, row) for seq, _, row in expected.values()]


async def test_snapshots_agree_with_their_sequence_while_events_are_stored(tmp_path: Path) -> None:
    stream = MemoryStream(CHAT)
    async with Store(tmp_path / "p", [CHAT]) as store, running(store, stream) as projector:
        snapshots = DuckSnapshots(store, [projector])
        seen = set()
        for start in range(0, len(EVENTS), 100):
            await write(stream, EVENTS[start : start + 100])
            async with opened(snapshots, CHAT, at_least=start) as snapshot:
                rows = await read_all(snapshot)
            expected = rows_after(EVENTS[: snapshot.sequence])
            assert rows == [(seq, row) for seq, _, row in expected.values()]
            seen.add(snapshot.sequence)
    assert len(seen) > 5


async def test_filter_sort_limit_and_columns_shape_a_snapshot(tmp_path: Path) -> None:
    stream = MemoryStream(CHAT)
    await write(stream, EVENTS)
    asked = query(
        CHAT,
        **{"votes>": ["3000"], "_sort": ["-votes"], "_limit": ["3"], "_offset": ["1"]},
        _c=["votes", "id"],
    )
    async with Store(tmp_path / "p", [CHAT]) as store, running(store, stream) as projector:
        snapshots = DuckSnapshots(store, [projector])
        async with opened(snapshots, CHAT, asked, at_least=len(EVENTS)) as snapshot:
            rows = [row for _, row in await read_all(snapshot)]
    matching = [row for _, _, row in rows_after(EVENTS).values() if (row["votes"] or 0) > 3000]
    expected = sorted(matching, key=lambda row: -row["votes"])[1:4]
    assert [list(row.items()) for row in rows] == [
        [("votes", row["votes"]), ("id", row["id"])] for row in expected
    ]


async def test_a_reader_that_leaves_in_the_middle_frees_everything(tmp_path: Path) -> None:
    stream = MemoryStream(CHAT)
    await write(stream, history(CHAT, [("POST", f"r{n}", {}) for n in range(5000)]))
    async with Store(tmp_path / "p", [CHAT]) as store, running(store, stream) as projector:
        snapshots = DuckSnapshots(store, [projector])
        await projector.caught_up(5000, 10)

        async def reader(started: asyncio.Event) -> None:
            async with (
                opened(snapshots, CHAT, at_least=1) as snapshot,
                snapshot.reading() as parts,
            ):
                async for _ in parts:
                    started.set()
                    await asyncio.Event().wait()

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                started = asyncio.Event()
                task = group.create_task(reader(started))
                await started.wait()
                task.cancel()
        async with opened(snapshots, CHAT, at_least=1) as snapshot:
            assert len(await read_all(snapshot)) == 5000
        assert await connections(store) == OWN_CONNECTIONS


async def test_a_sequence_that_does_not_arrive_is_an_error_in_time(tmp_path: Path) -> None:
    async with (
        Store(tmp_path / "p", [CHAT]) as store,
        running(store, MemoryStream(CHAT)) as projector,
    ):
        with pytest.raises(Unavailable, match="is at 0, not at 5"):
            await projector.caught_up(5, 0.05)


async def test_few_events_are_folded_as_soon_as_a_reader_waits(tmp_path: Path) -> None:
    stream = MemoryStream(CHAT)
    events = history(CHAT, [("POST", f"r{n}", {}) for n in range(3)])
    async with (
        Store(tmp_path / "p", [CHAT]) as store,
        running(store, stream, few_seconds=3600) as projector,
    ):
        await write(stream, events[:1])
        await projector.caught_up(1, 10)
        await write(stream, events[1:])
        await projector.caught_up(3, 10)


async def test_a_reader_does_not_wait_while_events_gather(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections.projector, "GATHER_SECONDS", 3600)
    stream = MemoryStream(CHAT)
    feed = Feed(stream, 0)
    events = history(CHAT, [("POST", f"r{n}", {}) for n in range(3)])
    async with Store(tmp_path / "p", [CHAT]) as store, background() as tasks:
        projector = Projector(store, stream, feed.follow, few_seconds=3600)
        tasks.start(feed.run(), name="feed")
        tasks.start(projector.run(), name="projector")
        await write(stream, events[:1])
        await projector.caught_up(1, 10)
        await write(stream, events[1:2])
        await feed.reached(2, 10)  # the projector was woken before, and gathers now
        await projector.caught_up(2, 10)
        reader = asyncio.ensure_future(projector.caught_up(3, 10))
        await asyncio.sleep(0)
        await write(stream, events[2:])  # a reader waits already
        await reader


async def test_few_large_events_are_folded_without_a_reader(tmp_path: Path) -> None:
    """A reader that came later would wait for all of their megabytes."""
    stream = MemoryStream(CHAT)
    events = history(CHAT, [("POST", f"r{n}", {"text": "x" * (FEW_BYTES // 4)}) for n in range(9)])
    async with Store(tmp_path / "p", [CHAT]) as store, running(store, stream, 3600.0) as projector:
        await write(stream, events[:1])
        await eventually(lambda: projector._waiting)
        assert projector.watermark == 0
        await write(stream, events[1:4])
        await eventually(lambda: projector.watermark == 4)
        assert not projector._is_due_now()
        await write(stream, events[4:])
        await eventually(lambda: projector.watermark >= 8)


async def test_what_has_come_before_the_stop_is_in_the_tables(tmp_path: Path) -> None:
    stream, stop = MemoryStream(CHAT), asyncio.Event()
    async with Store(tmp_path / "p", [CHAT]) as store:
        projector = Projector(store, stream, few_seconds=3600)
        serving = asyncio.ensure_future(projector.serve(stop))
        await write(stream, history(CHAT, [("POST", f"r{n}", {}) for n in range(3)]))
        stop.set()
        await serving
        assert (projector.head, projector.watermark) == (3, 3)


async def test_few_events_that_become_many_are_folded_without_a_reader(tmp_path: Path) -> None:
    stream = MemoryStream(CHAT)
    events = history(CHAT, [("POST", f"r{n}", {}) for n in range(FEW_EVENTS + 1)])

    async def one_few_and_the_last() -> AsyncIterator[list[StoredEvent]]:
        for batch in (events[:1], events[1:-1], events[-1:]):
            yield batch
            for _ in range(20):  # the projector decides how long to wait
                await asyncio.sleep(0)
        await asyncio.Event().wait()

    @asynccontextmanager
    async def follow(after: int, _: Pause) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        assert after == 0
        yield one_few_and_the_last()

    await write(stream, events)
    async with Store(tmp_path / "p", [CHAT]) as store, background() as tasks:
        projector = Projector(store, stream, follow, few_seconds=3600)
        tasks.start(projector.run(), name="projector")
        async with asyncio.timeout(40):
            while projector.watermark < len(events):
                await asyncio.sleep(0.01)


class Counting(MemoryStream):
    """Counts how many follow it."""

    followers = 0

    @asynccontextmanager
    async def follow_sealed(self, after: int) -> Any:
        self.followers += 1
        try:
            async with super().follow_sealed(after) as batches:
                yield batches
        finally:
            self.followers -= 1


async def test_a_projector_rests_until_a_reader_comes_and_then_goes_on_where_it_was(
    tmp_path: Path,
) -> None:
    stream, demand = Counting(CHAT), Demand(0)
    labels = {"channel": "chat"}
    async with Store(tmp_path / "p", [CHAT]) as store, background() as tasks:
        projector = Projector(store, stream, demand=demand)
        tasks.start(projector.run(), name="projector")
        for end in (500, 501, len(EVENTS)):
            await write(stream, EVENTS[stream.length : end])
            await asyncio.sleep(0.01)
            assert stream.followers == 0
            with demand.hold():
                await projector.caught_up(end, 10)
                assert REGISTRY.get_sample_value("eventhub_projected_sequence", labels) == end
            await eventually(lambda: stream.followers == 0)
            assert REGISTRY.get_sample_value("eventhub_projected_sequence", labels) is None
        assert (await proved(store, stream))[0].is_equal


async def test_a_projector_that_rests_does_not_fall_far_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise its next reader would wait too long."""
    monkeypatch.setattr(projections.projector, "FAR_EVENTS", 100)
    monkeypatch.setattr(projections.projector, "LOOK_SECONDS", 0.005)
    stream = Counting(CHAT)
    async with Store(tmp_path / "p", [CHAT]) as store, background() as tasks:
        projector = Projector(store, stream, demand=Demand(3600))
        tasks.start(projector.run(), name="projector")
        for end in (100, 250):
            await write(stream, EVENTS[stream.length : end])
            async with asyncio.timeout(40):
                while projector.watermark < end:
                    await asyncio.sleep(0.005)
            await eventually(lambda: stream.followers == 0)
        await write(stream, EVENTS[250:349])
        await asyncio.sleep(0.05)
        assert projector.watermark == 250
        await projector.caught_up(349, 10)
        assert (await proved(store, stream))[0].is_equal


async def test_a_projector_that_fails_does_not_rest_before_it_has_succeeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would send it a reader: it says that it is not ready."""
    monkeypatch.setattr(projections.projector, "RETRY_SECONDS", (0.01, 0.01))
    stream, failures = MemoryStream(CHAT), 3

    @asynccontextmanager
    async def follow(after: int, _: Pause) -> AsyncIterator[AsyncIterator[Sequence[Sealed]]]:
        nonlocal failures
        if failures:
            failures -= 1
            raise Unavailable("not now")
        async with stream.follow_sealed(after) as batches:
            yield batches

    await write(stream, EVENTS[:10])
    async with Store(tmp_path / "p", [CHAT]) as store, background() as tasks:
        projector = Projector(store, stream, follow, demand=Demand(0.02))
        tasks.start(projector.run(), name="projector")
        with pytest.raises(Unavailable, match="is at 0, not at 10"):
            await projector.caught_up(10, 0.005)
        await eventually(lambda: projector.is_failing)
        await eventually(lambda: failures == 0)


def contents(path: Path) -> list[list[tuple[object, ...]]]:
    """Return both tables of a closed file."""
    with duckdb.connect(path, read_only=True) as connection:
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY _seq").fetchall()
            for table in ("chat", "chat_history")
        ]


async def test_a_row_whose_delete_is_lost_is_replaced_by_its_next_post(tmp_path: Path) -> None:
    events = history(CHAT, [("POST", "a", {}), ("DELETE", "a", {}), ("POST", "a", {"votes": 2})])
    async with Store(tmp_path / "p", [CHAT]) as store:
        for event in (events[0], events[2]):
            await store.append("chat", [event])
            await store.fold("chat")
    current, _ = contents(tmp_path / "p")
    assert [row[0] for row in current] == [2]


async def test_reading_continues_up_to_a_bound_while_duckdb_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections.projector, "WAITING_BYTES", 800_000)
    stream, busy = MemoryStream(CHAT), threading.Event()
    await write(stream, EVENTS)
    async with Store(tmp_path / "p", [CHAT]) as store:
        await store.begin("chat", stream.epoch)
        async with running(store, stream) as projector, asyncio.timeout(20):
            await projector.caught_up(1, 10)
            store._writing.submit(busy.wait, 20)  # as a checkpoint does
            more = history(
                CHAT, [("POST", f"new{n}", {}) for n in range(9000)], first=len(EVENTS) + 1
            )
            await write(stream, more)
            while projector._waiting_bytes < 800_000:
                await asyncio.sleep(0.01)
            assert len(projector._waiting) < 9000
            busy.set()
            await projector.caught_up(len(EVENTS) + 9000, 10)


APPENDER = """
import asyncio, sys
from pathlib import Path
from eventhub.logs import configure
from projections.store import Store
from tests.integration.test_projector import EVENTS
from tests.snapshotting import CHAT

configure("warning", "json")

async def main():
    store = Store(Path(sys.argv[1]), [CHAT])
    await store.open()
    head = (await store.begin("chat", "e1")).head
    print(head, flush=True)
    size = int(sys.argv[2])
    while head < len(EVENTS):
        head = (await store.append("chat", EVENTS[head : head + size])).head
        if head % 3 == 0:
            await store.fold("chat")
        print(head, flush=True)

asyncio.run(main())
"""


def acknowledged(process: subprocess.Popen[str]) -> Iterator[int]:
    """Iterate over the heads that an appender prints, to the end of the process."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.endswith("\n"):
            yield int(line)


def test_a_kill_at_any_moment_neither_loses_nor_repeats_events(tmp_path: Path) -> None:
    chance, reached = random.Random(), 0
    for size in (1, 1, 30, 7, 200):
        process = subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(tmp_path / "p"), str(size)],
            stdout=subprocess.PIPE,
            text=True,
        )
        heads = acknowledged(process)
        assert next(heads) >= reached
        killer = threading.Timer(chance.uniform(0.02, 0.4), process.send_signal, [signal.SIGKILL])
        killer.start()
        reached = max([reached, *heads])
        process.wait(10)
        killer.cancel()
        assert process.stdout is not None
        process.stdout.close()
        asyncio.run(check_whole(tmp_path / "p", EVENTS, reached))


def stored_sequences(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """Return the sequences in the history, those beyond the checkpoint too."""
    rows = connection.execute("SELECT _seq FROM chat_history ORDER BY _seq").fetchall()
    return [sequence for (sequence,) in rows]


async def check_whole(path: Path, events: list[StoredEvent], acknowledged: int) -> None:
    """The file holds exactly the events up to its checkpoint, no fewer than were acknowledged."""
    async with Store(path, [CHAT]) as store:
        head = store.progress("chat").head
        async with store.reader() as reader:
            assert await store.read(reader, stored_sequences) == list(range(1, head + 1))
        stream = MemoryStream(CHAT)
        stream.epoch = "e1"
        await write(stream, events)
        await store.fold("chat")
        report, _ = await proved(store, stream)
    assert head >= acknowledged
    assert (report.is_equal, report.sequence, report.events) == (True, head, head)


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
import projections.projector
from eventhub.logs import configure
from projections.store import Store
from tests.integration.test_projector import EVENTS, MemoryStream, running, write
from tests.snapshotting import CHAT

configure("warning", "json")
projections.projector.RETRY_SECONDS = (0.05, 0.1)

async def main():
    path, stream = Path(sys.argv[1]), MemoryStream(CHAT)
    stream.epoch = "e1"
    async with Store(path, [CHAT]) as store, running(store, stream) as projector:
        await write(stream, EVENTS[:1000])
        await projector.caught_up(1000, 10)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, resource.RLIM_INFINITY))
        await write(stream, EVENTS[1000:])
        try:
            await projector.caught_up(len(EVENTS), 1)
        except Exception as error:
            print(type(error).__name__, projector.head < len(EVENTS), flush=True)
        try:
            store._root.execute("FORCE CHECKPOINT")
        except Exception as error:
            print(type(error).__name__, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        await projector.caught_up(len(EVENTS), 10)
        print("caught up", flush=True)

asyncio.run(main())
"""


def test_the_projection_survives_a_full_disk_and_resumes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "p")],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert "Unavailable True" in done.stdout
    assert "FatalException" in done.stdout
    assert "projection_failed" in done.stderr
    assert "projection_reopened" in done.stderr
    assert "caught up" in done.stdout
    asyncio.run(check_whole(tmp_path / "p", EVENTS, len(EVENTS)))
