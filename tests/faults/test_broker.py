"""Whatever happens to the broker, clients notice a pause: no event is lost, repeated or moved."""

import asyncio
import os
import signal

import nats
import psutil
import pytest

from eventhub.broker import running_broker
from tests.e2e.hub import Hub
from tests.faults.conftest import HubStarter, broker_pid
from tests.faults.load import Load, until


@pytest.fixture
def hub(start_hub: HubStarter) -> Hub:
    return start_hub()


async def test_a_broker_that_is_killed_under_load_is_a_pause(hub: Hub) -> None:
    load = Load(f"{hub.url}/rows")
    async with load.running():
        for _ in range(3):
            await load.goes_on()
            os.kill(broker_pid(hub), signal.SIGKILL)
        await load.goes_on()
    assert load.is_connected_as_before
    assert hub.stderr().count("broker_restarted") == 3


async def test_a_broker_that_freezes_under_load_is_a_pause(hub: Hub) -> None:
    load = Load(f"{hub.url}/rows")
    async with load.running():
        await load.goes_on()
        frozen = psutil.Process(broker_pid(hub))
        frozen.suspend()
        try:
            await asyncio.sleep(5)  # longer than pings, heartbeats and answers are waited for
        finally:
            frozen.resume()
        await load.goes_on()
    assert load.is_connected_as_before
    assert "broker_disconnected" in hub.stderr()


async def test_clients_do_not_notice_consumers_that_vanish_under_load(hub: Hub) -> None:
    address = running_broker(hub.folder / "data")
    assert address is not None
    client = await nats.connect(address.url, token=address.token)
    server, deleted = client.jetstream(), set[str]()
    load = Load(f"{hub.url}/rows")
    async with load.running():
        for _ in range(3):
            await load.goes_on()
            for consumer in await server.consumers_info("EH_rows"):
                if consumer.name.startswith("follower-"):
                    await server.delete_consumer("EH_rows", consumer.name)
                    deleted.add(consumer.name)
        await load.goes_on()
    await client.close()
    assert load.is_connected_as_before
    assert not load.refusals
    assert len(deleted) >= 3
    await until(lambda: hub.stderr().count("follower_reset") >= len(deleted))
