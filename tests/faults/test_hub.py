"""When the hub itself is killed, who repeats and resumes has everything: in order, once."""

import asyncio

import pytest

from tests.faults.conftest import HubStarter
from tests.faults.load import Load


@pytest.mark.timeout(60)
async def test_a_hub_that_is_killed_under_load_goes_on_where_each_client_was(
    start_hub: HubStarter,
) -> None:
    """Writers send what was not answered again, by its `_key`; subscribers go on by `_since`."""
    hub = start_hub()
    load = Load(f"{hub.url}/rows")
    async with load.running():
        for _ in range(2):
            await load.goes_on()
            await asyncio.to_thread(hub.kill)
            await asyncio.to_thread(hub.start)
        await load.goes_on()
    assert all(client.connections >= 3 for client in load.subscribers)
