"""Batches are staged in memory where that is possible, and leave nothing there."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

import eventhub.broker.embedded
import eventhub.broker.server
import eventhub.broker.staging
from eventhub.broker import EmbeddedBroker
from eventhub.broker.staging import MEMORY
from eventhub.jetstream import JetStreamLog
from tests.builders import channel, make_event
from tests.integration.broker.hubs import is_running, start_hub, until


def staging_of(folder: Path) -> tuple[Path, Path]:
    """Return the link to where batches are staged, and where that is."""
    [batches] = folder.glob(f"jetstream/jetstream/*/streams/{channel().stream}/batches")
    return batches, batches.resolve()


def memory_of(pid: int) -> Path:
    """Return the folder in memory of a hub."""
    [memory] = MEMORY.glob(f"eventhub-{pid}-*")
    return memory


async def test_batches_are_staged_in_memory_and_leave_nothing_there(tmp_path: Path) -> None:
    """Over a restart of the server too, which removes the links."""
    async with (
        EmbeddedBroker(tmp_path) as broker,
        JetStreamLog.connect(broker.url, token=broker.token) as log,
    ):
        stream = await log.open(channel())
        await broker.stage_in_memory()
        batches, memory = staging_of(tmp_path)
        assert memory.is_relative_to(MEMORY)
        assert memory.parent.stat().st_mode & 0o077 == 0
        killed = broker.pid
        os.kill(killed, signal.SIGKILL)
        await until(lambda: broker.pid != killed and batches.is_symlink())
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(stream.append(make_event(id=f"{number}"), expect=0))
        assert list(memory.iterdir()) == []  # it was staged, and removed
        await until(batches.is_symlink)  # a batch that was under way on the disk stays there
    assert not memory.parent.exists()
    assert not batches.is_symlink()


async def test_a_folder_in_memory_that_is_removed_is_created_again(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    """As systemd does when the user logs out."""
    stream = await log.open(channel())
    await broker.stage_in_memory()
    batches, memory = staging_of(broker.folder)
    shutil.rmtree(memory.parent)
    for turn in range(2):  # before and after it was noticed
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(stream.append(make_event(id=f"{turn}.{number}"), expect=0))
        await until(lambda: batches.is_dir())
    assert batches.readlink() != memory
    assert (await stream.bounds()).last == 40


async def test_a_stream_that_is_made_later_is_found_and_linked_without_being_asked(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    def linked() -> int:
        links = broker.folder.glob("jetstream/jetstream/*/streams/*/batches")
        return sum(each.is_symlink() for each in links)

    await log.open(channel())
    await broker.stage_in_memory()
    assert linked() == 1
    await log.open(channel("second"))
    await until(lambda: linked() == 2)
    await log.open(channel("third"))
    await until(lambda: linked() == 3)


async def test_leftovers_of_a_killed_hub_in_memory_are_removed_at_the_next_start(
    tmp_path: Path,
) -> None:
    hub, pid = await start_hub(tmp_path)
    left = memory_of(hub.pid)
    hub.kill()
    await hub.wait()
    async with EmbeddedBroker(tmp_path):
        assert not left.exists()
    assert not is_running(pid)


async def test_without_a_folder_in_memory_batches_are_staged_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventhub.broker.staging, "MEMORY", tmp_path / "nowhere")
    async with (
        EmbeddedBroker(tmp_path / "data") as broker,
        JetStreamLog.connect(broker.url, token=broker.token) as log,
    ):
        stream = await log.open(channel())
        await broker.stage_in_memory()
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(stream.append(make_event(id=f"{number}"), expect=0))
        batches, _ = staging_of(tmp_path / "data")
        assert batches.is_dir()
        assert not batches.is_symlink()
        assert (await stream.bounds()).last == 20
