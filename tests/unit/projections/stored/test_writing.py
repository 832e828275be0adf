"""Snapshots are stored whole, by parts, and only as many as are needed."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from eventhub.errors import Unavailable
from eventhub.memory import MemoryStream
from eventhub.objects import Objects
from projections.store import Store
from projections.stored import manifest, writing
from projections.stored.folder import FolderObjects
from projections.stored.manifest import Manifest
from projections.stored.writing import SnapshotWriter
from tests.snapshotting import CHAT
from tests.storing import EVENTS, filled, load, rows, take


@pytest.fixture
async def stream() -> MemoryStream:
    return await filled(CHAT, EVENTS)


@pytest.fixture
async def store(tmp_path: Path, stream: MemoryStream) -> AsyncIterator[Store]:
    async with Store(tmp_path / "p", [CHAT]) as opened:
        await opened.begin("chat", stream.epoch)
        yield opened


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "objects")


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "PART_BYTES", 64 << 10)


class Failing(FolderObjects):
    """A folder in which something else happens before an object is put."""

    def __init__(self, folder: Path, before_put: Callable[[int], Awaitable[None]]) -> None:
        super().__init__(folder)
        self._before_put = before_put
        self.puts = 0

    async def put(self, name: str, data: bytes) -> None:
        self.puts += 1
        await self._before_put(self.puts)
        await super().put(name, data)


async def test_a_snapshot_is_due_once_the_log_has_grown_enough(
    store: Store, objects: FolderObjects
) -> None:
    await store.append("chat", EVENTS[:99])
    assert await take(store, objects, every=100) is None
    await store.append("chat", EVENTS[99:100])
    first = await take(store, objects, every=100)
    assert first is not None
    await store.append("chat", EVENTS[100:199])
    assert await take(store, objects, every=100) == first
    await store.append("chat", EVENTS[199:200])
    second = await take(store, objects, every=100)
    assert second is not None
    assert second.tables["chat"].head == 200


async def test_a_log_that_was_made_again_counts_from_its_beginning(
    store: Store, objects: FolderObjects
) -> None:
    await store.append("chat", EVENTS)
    await take(store, objects, every=100)
    await store.reset("chat", "another")
    await store.append("chat", EVENTS[:100])
    made = await take(store, objects, every=100)
    assert made is not None
    assert (made.tables["chat"].epoch, made.tables["chat"].head) == ("another", 100)


@pytest.mark.usefixtures("small_parts")
async def test_only_parts_that_have_changed_are_stored(
    store: Store, objects: FolderObjects
) -> None:
    await store.append("chat", EVENTS[:600])
    first = await take(store, objects)
    await store.append("chat", EVENTS[600:601])
    second = await take(store, objects)
    assert first is not None
    assert second is not None
    new = {part.name for part in second.parts} - {part.name for part in first.parts}
    changed = {part.sha256 for part in second.parts} - {part.sha256 for part in first.parts}
    assert 0 < len(new) == len(changed) < len(second.parts)


@pytest.mark.usefixtures("small_parts")
async def test_two_snapshots_are_kept_with_the_parts_that_they_need(
    store: Store, objects: FolderObjects, stream: MemoryStream, tmp_path: Path
) -> None:
    made = []
    for end in range(100, 600, 100):
        await store.append("chat", EVENTS[:end])
        made.append(await take(store, objects))
    kept = [each for each in made[-2:] if each is not None]
    needed = {part.name for each in kept for part in each.parts}
    listed = await objects.listed()
    assert set(listed.whole) == needed | {f"{each.name}.json" for each in kept}
    assert await load(tmp_path / "loaded", objects, stream) == kept[-1]


@pytest.mark.usefixtures("small_parts")
async def test_two_hubs_in_one_place_leave_each_other_their_snapshots(
    store: Store, objects: FolderObjects, stream: MemoryStream, tmp_path: Path
) -> None:
    other = await filled(CHAT, EVENTS)
    made: dict[str, list[Manifest | None]] = {stream.epoch: [], other.epoch: []}
    async with Store(tmp_path / "q", [CHAT]) as second:
        await second.begin("chat", other.epoch)
        with capture_logs() as lines:
            for end in range(100, 500, 100):
                for each, epoch in ((store, stream.epoch), (second, other.epoch)):
                    await each.append("chat", EVENTS[:end])
                    made[epoch].append(await take(each, objects, every=100))
    kept = {found.name: found for each in made.values() for found in each[-2:] if found}
    needed = {part.name for each in kept.values() for part in each.parts}
    listed = await objects.listed()
    assert set(listed.whole) == needed | {f"{name}.json" for name in kept}
    assert len(kept) == 4
    assert "snapshots_of_another_log" in {line["event"] for line in lines}
    for log in (stream, other):
        assert await load(tmp_path / log.epoch, objects, log) == made[log.epoch][-1]


async def test_nothing_is_deleted_while_a_manifest_cannot_be_read(
    store: Store, tmp_path: Path
) -> None:
    class Away(FolderObjects):
        async def get(self, name: str) -> bytes | None:
            raise Unavailable("the store is away")

    await store.append("chat", EVENTS[:300])
    await take(store, FolderObjects(tmp_path / "objects"))
    before = (await FolderObjects(tmp_path / "objects").listed()).whole
    await store.append("chat", EVENTS)
    with pytest.raises(Unavailable, match="the store is away"):
        await take(store, Away(tmp_path / "objects"))
    assert (await FolderObjects(tmp_path / "objects").listed()).whole == before


async def test_what_killed_processes_have_left_is_deleted_after_an_hour(
    store: Store, objects: FolderObjects
) -> None:
    def left(minutes: int) -> str:
        return f"{now - timedelta(minutes=minutes):%Y%m%dT%H%M%S%fZ}-aaaaaa.duckdb.00000"

    now = datetime.now(UTC)
    for name in (left(61), left(59), "of-another-program"):
        await objects.put(name, b"x")
    (objects._folder / f".{left(62)}.partial").write_bytes(b"x")
    await store.append("chat", EVENTS)
    made = await take(store, objects)
    assert made is not None
    listed = await objects.listed()
    rest = set(listed.whole) - {part.name for part in made.parts} - {f"{made.name}.json"}
    assert rest == {left(59), "of-another-program"}
    assert listed.unfinished == []


async def test_events_that_are_stored_in_the_meantime_are_not_in_it(
    store: Store, stream: MemoryStream, tmp_path: Path
) -> None:
    async def write_more(_put: int) -> None:
        await store.append("chat", EVENTS[700:])
        await store.fold("chat")

    await store.append("chat", EVENTS[:700])
    await store.fold("chat")
    before = tmp_path / "before"
    assert await take(store, FolderObjects(before)) is not None
    made = await take(store, Failing(tmp_path / "o", write_more))
    assert made is not None
    assert made.tables["chat"].head == 700
    for folder in ("before", "o"):
        await load(tmp_path / f"from-{folder}", FolderObjects(tmp_path / folder), stream)
    for table in ("chat", "chat_history"):
        found = rows(tmp_path / "from-o", table)
        assert found == rows(tmp_path / "from-before", table)


async def test_a_checkpoint_in_the_meantime_spoils_a_snapshot(
    store: Store, stream: MemoryStream, tmp_path: Path
) -> None:
    async def checkpoint(_put: int) -> None:
        await store.append("chat", EVENTS[700:])
        async with store.at_checkpoint():
            pass

    await store.append("chat", EVENTS[:700])
    with pytest.raises(Unavailable, match="another checkpoint"):
        await take(store, Failing(tmp_path / "o", checkpoint))
    assert await load(tmp_path / "loaded", FolderObjects(tmp_path / "o"), stream) is None


@pytest.mark.usefixtures("small_parts")
async def test_a_failure_at_any_step_leaves_the_snapshot_before(
    store: Store, objects: FolderObjects, stream: MemoryStream, tmp_path: Path
) -> None:
    await store.append("chat", EVENTS[:300])
    before = await take(store, objects)
    await store.append("chat", EVENTS)
    steps = 0
    while True:
        steps += 1

        async def fail(put: int, step: int = steps) -> None:
            if put == step:
                raise Unavailable("the disk is full")

        try:
            made = await take(store, Failing(tmp_path / "objects", fail))
        except Unavailable:
            assert await load(tmp_path / f"p{steps}", objects, stream) == before
        else:
            assert await load(tmp_path / f"p{steps}", objects, stream) == made
            break
    assert steps > 3


@pytest.mark.usefixtures("small_parts")
async def test_parts_of_a_snapshot_that_failed_are_used_for_the_next_one(
    store: Store, stream: MemoryStream, tmp_path: Path
) -> None:
    async def fail_once(put: int) -> None:
        if put == 3:
            raise Unavailable("the store is away")

    objects = Failing(tmp_path / "objects", fail_once)

    async def opened() -> Objects:
        return objects

    await store.append("chat", EVENTS)
    writer = SnapshotWriter(store, opened, every=1)
    with pytest.raises(Unavailable, match="the store is away"):
        await writer.store_if_due()
    made = await writer.store_if_due()
    assert made is not None
    names = {part.name for part in made.parts}
    reused = {name for name in names if not name.startswith(made.name)}
    assert len(reused) == 2
    assert objects.puts == 3 + len(names - reused) + 1
    assert await load(tmp_path / "loaded", objects, stream) == made


async def test_a_snapshot_of_which_another_process_deletes_a_part_is_withdrawn(
    store: Store, objects: FolderObjects, tmp_path: Path
) -> None:
    async def delete_parts(_put: int) -> None:
        for name in (await objects.listed()).whole:
            await objects.delete(name)

    await store.append("chat", EVENTS)
    with pytest.raises(Unavailable, match="another process has deleted"):
        await take(store, Failing(tmp_path / "objects", delete_parts))
    assert (await objects.listed()).whole == []


async def test_no_other_process_can_open_the_tables_after_a_snapshot(
    store: Store, objects: FolderObjects
) -> None:
    """To close a descriptor of the file would release the lock that DuckDB has on it."""
    await store.append("chat", EVENTS)
    assert await take(store, objects) is not None
    program = f"import duckdb; duckdb.connect({str(store.path)!r})"
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stderr=PIPE)
    _, errors = await other.communicate()
    assert b"lock" in errors


async def test_a_failure_is_noted_until_a_snapshot_is_stored(
    store: Store, objects: FolderObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_broken = True

    async def opened() -> FolderObjects:
        if is_broken:
            raise Unavailable("the broker does not answer")
        return objects

    monkeypatch.setattr(writing, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(writing, "RETRY_SECONDS", 0.01)
    await store.append("chat", EVENTS)
    writer = SnapshotWriter(store, opened, every=1)
    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        task = group.create_task(writer.run())
        while not writer.notes:
            await asyncio.sleep(0.01)
        assert writer.notes == [
            "snapshots of the tables cannot be stored: the broker does not answer"
        ]
        is_broken = False
        while writer.notes:
            await asyncio.sleep(0.01)
        task.cancel()
    assert len([n for n in (await objects.listed()).whole if n.endswith(manifest.END)]) == 1
