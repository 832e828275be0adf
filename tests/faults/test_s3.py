"""A snapshot in S3 is there whole or not at all, whatever happens to the store meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from eventhub.errors import Unavailable
from eventhub.memory import MemoryStream
from projections.store import Store
from projections.stored import s3, writing
from projections.stored.manifest import END, Manifest
from projections.stored.s3 import S3Objects
from projections.stored.writing import SnapshotWriter
from tests.faults.conftest import SmallDisk
from tests.s3_server import KEYS, URL, S3Server, s3_server
from tests.snapshotting import CHAT
from tests.storing import EVENTS, filled, load, rows, take


@pytest.fixture(autouse=True)
def _small_parts_and_few_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "PART_BYTES", 64 << 10)
    monkeypatch.setattr(s3, "RETRIES", 1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path / "s3") as started:
        yield started


@pytest.fixture
async def stream() -> MemoryStream:
    return await filled(CHAT, EVENTS)


@pytest.fixture
async def store(tmp_path: Path, stream: MemoryStream) -> AsyncIterator[Store]:
    async with projected(tmp_path / "p", stream, 300) as opened:
        yield opened


@asynccontextmanager
async def projected(path: Path, stream: MemoryStream, events: int) -> AsyncIterator[Store]:
    """Open tables with the first events of a stream."""
    async with Store(path, [CHAT]) as opened:
        await opened.begin("chat", stream.epoch)
        await opened.append("chat", EVENTS[:events])
        await opened.fold("chat")
        yield opened


def manifests(server: S3Server) -> list[Path]:
    return sorted(server.objects.glob(f"*{END}"))


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


class Killing(S3Objects):
    """A store that is killed before one of the objects is put or read."""

    def __init__(self, server: S3Server, at: int) -> None:
        super().__init__(URL, endpoint=server.endpoint, keys=KEYS)
        self._server = server
        self._left = at

    async def put(self, name: str, data: bytes) -> None:
        await self._count()
        await super().put(name, data)

    async def get(self, name: str) -> bytes | None:
        await self._count()
        return await super().get(name)

    async def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            await asyncio.to_thread(self._server.kill)


async def test_a_store_that_is_killed_at_any_part_keeps_the_snapshot_of_before(
    server: S3Server, store: Store, stream: MemoryStream, tmp_path: Path
) -> None:
    before = await take(store, server.client())
    await store.append("chat", EVENTS)
    await store.fold("chat")
    made: Manifest | None = None
    at = 0
    while made is None:
        at += 1
        try:
            made = await take(store, Killing(server, at))
        except Unavailable:
            await asyncio.to_thread(server.start)
            assert await load(tmp_path / f"killed-{at}", server.client(), stream) == before
    assert at > 3
    assert await load(tmp_path / "whole", server.client(), stream) == made


async def test_a_store_that_is_killed_while_it_is_read_leaves_no_tables(
    server: S3Server, store: Store, stream: MemoryStream, tmp_path: Path
) -> None:
    made = await take(store, server.client())
    folder = tmp_path / "loaded"
    for at in (1, 2, 6):
        with pytest.raises(Unavailable, match="cannot be"):
            await load(folder / "p", Killing(server, at), stream)
        assert list(folder.glob("*")) == []
        await asyncio.to_thread(server.start)
    assert await load(folder / "p", server.client(), stream) == made


async def test_a_full_bucket_keeps_the_snapshot_of_before(
    small_disk: SmallDisk, store: Store, stream: MemoryStream, tmp_path: Path
) -> None:
    disk = small_disk("4m")
    with s3_server(disk / "s3") as server:
        before = await take(store, server.client())
        await store.append("chat", EVENTS)
        await store.fold("chat")
        ballast = disk / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with pytest.raises(Unavailable, match="cannot be written"):
            await take(store, server.client())
        assert await load(tmp_path / "from-full", server.client(), stream) == before
        ballast.unlink()
        made = await take(store, server.client())
        assert made is not None
        assert await load(tmp_path / "from-more", server.client(), stream) == made


async def test_a_flipped_bit_in_any_part_is_found(
    server: S3Server, store: Store, stream: MemoryStream, tmp_path: Path
) -> None:
    made = await take(store, server.client())
    assert made is not None
    parts = sorted({part.name for part in made.parts})
    for name in (parts[0], parts[-1], f"{made.name}{END}"):
        flip_a_bit(server.objects / name)
        with capture_logs() as logs:
            assert await load(tmp_path / "damaged", server.client(), stream) is None
        assert [line["event"] for line in logs] == ["snapshot_refused"]
        flip_a_bit(server.objects / name)
    assert await load(tmp_path / "mended", server.client(), stream) == made


async def test_a_projector_stores_again_once_the_store_is_back(
    server: S3Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CHECK_SECONDS", "RETRY_SECONDS", "SHARE"):
        monkeypatch.setattr(writing, name, 0.01)
    server.kill()

    async def opened() -> S3Objects:
        return server.client()

    writer = SnapshotWriter(store, opened, every=1)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(writer.run())
        while not writer.notes:
            await asyncio.sleep(0.01)
        assert "Connection refused" in writer.notes[0]
        await asyncio.to_thread(server.start)
        while writer.notes:
            await asyncio.sleep(0.01)
        task.cancel()
    assert len(manifests(server)) == 1


async def test_two_projectors_at_once_leave_snapshots_that_can_be_loaded(
    server: S3Server, stream: MemoryStream, tmp_path: Path
) -> None:
    """Each may delete what the other has found to be old; then its snapshot is withdrawn."""
    for round_ in range(1, 4):
        events = 200 * round_
        async with (
            projected(tmp_path / f"first-{round_}", stream, events) as first,
            projected(tmp_path / f"second-{round_}", stream, events + 50) as second,
        ):
            await asyncio.gather(
                take(first, server.client()), take(second, server.client()), return_exceptions=True
            )
        loaded = await load(tmp_path / f"loaded-{round_}", server.client(), stream)
        assert loaded is not None
        assert loaded.tables["chat"].head in (events, events + 50)
        assert rows(tmp_path / f"loaded-{round_}", "chat")
    assert 1 <= len(manifests(server)) <= 4
