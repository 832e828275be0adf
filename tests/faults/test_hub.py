"""When the hub is killed, clients that retry and resume have everything: in order, once."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.hub import DEADLINE_SECONDS
from tests.faults.conftest import HubStarter
from tests.faults.load import Load


async def test_after_a_hub_is_killed_under_load_each_client_resumes(
    start_hub: HubStarter,
) -> None:
    """Writers repeat unanswered messages with their `_key`; subscribers resume with `_since`."""
    hub = start_hub()
    load = Load(f"{hub.url}/rows")
    async with load.running():
        for _ in range(2):
            await load.goes_on()
            await asyncio.to_thread(hub.kill)
            await asyncio.to_thread(hub.start)
        await load.goes_on()
    assert all(client.connections >= 3 for client in load.subscribers)


@pytest.mark.parametrize("anew", [False, True], ids=["gone", "another"])
async def test_a_hub_whose_folder_is_gone_reports_it_and_ends(
    start_hub: HubStarter, tmp_path: Path, anew: bool
) -> None:
    """It must not continue without a log, nor in another folder of that name, nor hang."""
    hub = start_hub()
    assert hub.process is not None
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    if anew:
        (tmp_path / "data").mkdir(exist_ok=True)  # nats-server may be first
        (tmp_path / "data" / "broker.lock").touch()
    assert await asyncio.to_thread(hub.process.wait, DEADLINE_SECONDS) != 0
    assert "the data folder cannot be used" in hub.stderr()
