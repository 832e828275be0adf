"""Whatever happens between the hub and a broker elsewhere, nothing is lost or repeated."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventhub.broker import EmbeddedBroker
from tests.e2e.hub import Hub
from tests.faults.conftest import HubStarter
from tests.faults.load import CONFIG, Load
from tests.faults.proxy import Proxy


@pytest.fixture
async def proxy(broker: EmbeddedBroker) -> AsyncIterator[Proxy]:
    """The only way from the hub to `broker`."""
    async with Proxy(int(broker.url.rpartition(":")[2])).running() as proxy:
        yield proxy


@pytest.fixture
async def hub(broker: EmbeddedBroker, proxy: Proxy, start_hub: HubStarter, tmp_path: Path) -> Hub:
    elsewhere = f"broker: {{url: '{proxy.url}', token: '{broker.token}'}}"
    return await asyncio.to_thread(start_hub, f"{elsewhere}\n{CONFIG}")


async def test_a_connection_that_breaks_under_load_is_a_pause(hub: Hub, proxy: Proxy) -> None:
    load = Load(f"{hub.url}/rows")
    async with load.running():
        for _ in range(6):
            await load.goes_on(50)
            proxy.abort()
        await load.goes_on(50)
    assert load.is_connected_as_before
    assert hub.stderr().count("broker_disconnected") == 6


async def test_a_connection_that_goes_dead_under_load_costs_nothing(hub: Hub, proxy: Proxy) -> None:
    """For longer than it takes to notice; what was swallowed is gone, in both directions.

    Clients are closed after 3 s, because another gateway may reach the broker, and resume.
    """
    load = Load(f"{hub.url}/rows")
    async with load.running():
        await load.goes_on()
        proxy.is_swallowing = True
        await asyncio.sleep(4)
        proxy.is_swallowing = False
        await load.goes_on()
    assert "broker_disconnected" in hub.stderr()
