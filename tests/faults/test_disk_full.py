"""A full disk refuses writes and reports it; once there is room, the hub continues in order."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.broker.embedded import FLOOR_BYTES
from eventhub.jetstream import JetStreamLog
from tests.builders import channel, make_event
from tests.e2e.client import get
from tests.faults.conftest import HubStarter, SmallDisk
from tests.faults.load import CONFIG, WRITERS, Load, until
from tests.faults.writer import WINDOW

MARGIN_BYTES = 1 << 20  # that others may write while the disk is being filled


@contextmanager
def filled(disk: Path, *, but: int) -> Iterator[None]:
    """Leave this many bytes free; if 0, not a single one."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        room = os.statvfs(disk)
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - max(but, MARGIN_BYTES))
        file.seek(0, os.SEEK_END)
        with suppress(OSError):
            while but == 0:
                file.write(bytes(room.f_frsize))
        yield
    ballast.unlink()


async def ready(url: str) -> str:
    """Return what /readyz says."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
        return await answer.text()


async def until_ready(url: str, said: str) -> None:
    """Wait until /readyz says something."""
    async with asyncio.timeout(40):
        while said not in await ready(url):
            await asyncio.sleep(0.02)


def config(projection: Path) -> str:
    """Return a configuration with the projection elsewhere than the log."""
    return f"projection: {{path: '{projection}'}}\n{CONFIG}"


@pytest.mark.parametrize("free", [FLOOR_BYTES // 2, 0], ids=["low", "no-byte-free"])
async def test_the_log_continues_once_its_disk_has_room(
    start_hub: HubStarter, small_disk: SmallDisk, tmp_path: Path, free: int
) -> None:
    """Both before a write fails, and after one has: nothing acknowledged is lost by either."""
    disk = small_disk("160m")
    (tmp_path / "data").symlink_to(disk)
    hub = await asyncio.to_thread(start_hub, config(tmp_path / "projection.duckdb"))
    load = Load(f"{hub.url}/rows")
    async with load.running():
        await load.goes_on()
        with filled(disk, but=free):
            await until_ready(hub.url, "the disk is full")
            await until(lambda: len(load.refusals) >= WRITERS * WINDOW)
            assert len(await get(f"{hub.url}/rows")) > 0
        await until_ready(hub.url, "ready")
        await load.goes_on()
    assert load.is_connected_as_before
    assert "disk_full" in hub.stderr()
    assert "disk_has_room" in hub.stderr()


async def test_live_messages_continue_while_the_projection_has_no_room(
    start_hub: HubStarter, small_disk: SmallDisk
) -> None:
    disk = small_disk("64m")
    hub = await asyncio.to_thread(start_hub, config(disk / "projection.duckdb"))
    load = Load(f"{hub.url}/rows")
    async with load.running():
        await load.goes_on()
        with filled(disk, but=0):
            await until_ready(hub.url, "the projection of rows fails")
            await load.goes_on()
        await until_ready(hub.url, "ready")
        await load.goes_on()
    assert load.is_connected_as_before
    assert not load.refusals


async def test_room_that_is_made_after_the_start_is_used(small_disk: SmallDisk) -> None:
    """By itself nats-server stores three quarters of what is free when it starts, and no more."""
    disk, text = small_disk("112m"), "x" * (6 << 20)
    with filled(disk, but=48 << 20):
        broker = EmbeddedBroker(disk)
        await broker.__aenter__()
    async with AsyncExitStack() as stack:
        stack.push_async_exit(broker)
        log = await stack.enter_async_context(JetStreamLog.connect(broker.url, token=broker.token))
        stream = await log.open(channel())
        for number in range(7):
            event = make_event(id=f"r{number}", message={"text": text})
            assert (await stream.append(event, expect=0)).sequence == number + 1
