"""A data folder belongs to one hub, until that hub and its server are gone."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from eventhub.broker import EmbeddedBroker, running_broker
from eventhub.errors import Misconfigured
from tests.integration.broker.hubs import is_running, start_hub, until


async def test_a_second_hub_on_the_folder_is_refused(broker: EmbeddedBroker) -> None:
    with pytest.raises(Misconfigured, match=rf"{broker.folder} is in use by process {os.getpid()}"):
        async with EmbeddedBroker(broker.folder):
            pass
    assert running_broker(broker.folder) is not None


async def test_the_address_is_published_only_while_it_runs(tmp_path: Path) -> None:
    assert running_broker(tmp_path) is None
    async with EmbeddedBroker(tmp_path) as broker:
        address = running_broker(tmp_path)
        assert address is not None
        assert (address.url, address.token) == (broker.url, broker.token)
    assert running_broker(tmp_path) is None


async def test_the_broker_dies_with_its_hub_and_frees_the_folder(tmp_path: Path) -> None:
    hub, broker_pid = await start_hub(tmp_path)
    hub.kill()
    await hub.wait()
    async with EmbeddedBroker(tmp_path) as broker:
        assert broker.pid != broker_pid
        assert not is_running(broker_pid)


async def test_an_orphan_still_holds_the_folder(tmp_path: Path) -> None:
    hub, broker_pid = await start_hub(tmp_path)
    os.kill(broker_pid, signal.SIGSTOP)
    hub.kill()
    await hub.wait()
    try:
        async with asyncio.timeout(40), asyncio.TaskGroup() as group:
            successor = EmbeddedBroker(tmp_path)
            entering = group.create_task(successor.__aenter__())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await until(entering.done)
            os.kill(broker_pid, signal.SIGCONT)
        await successor.__aexit__(None, None, None)
    finally:
        if is_running(broker_pid):
            os.kill(broker_pid, signal.SIGKILL)


async def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="data folder"):
        async with EmbeddedBroker(tmp_path / "file"):
            pass
