"""Operators see who is logged in, and end that, whether the hub runs or not."""

import asyncio
import json

import pytest

from tests.e2e.client import Closed, connect
from tests.e2e.command import output, refused, run
from tests.e2e.hub import HubFactory
from tests.e2e.test_revocation import CONFIG, code_of, log_in


async def test_a_session_is_listed_and_ended_while_the_hub_runs(hub_factory: HubFactory) -> None:
    hub = hub_factory(CONFIG)
    ann, bob = await log_in(hub), await log_in(hub, "bob")
    there = (hub.config, "list", "--data", hub.folder / "data")
    text = await asyncio.to_thread(output, "sessions", *there)
    default = await asyncio.to_thread(
        run, "sessions", hub.config, env={"EVENTHUB_DATA": str(hub.folder / "data")}
    )
    assert default.stdout == text
    first, second, count = text.splitlines()
    assert count == "2 sessions"
    assert (first.split()[1], second.split()[1]) == ("ann", "bob")
    assert first.split()[4] == "127.0.0.1"
    [only] = json.loads(
        await asyncio.to_thread(output, "sessions", *there, "--user", "bob", "--json")
    )
    assert only["user"] == "bob"
    async with connect(f"{hub.url}/chat", headers=ann) as client:
        await client.replay()
        end = (hub.config, "end", first.split()[0], "--data", hub.folder / "data")
        assert await asyncio.to_thread(output, "sessions", *end) == "1 sessions ended\n"
        with pytest.raises(Closed, match="4412"):
            await client.until(lambda _: False)
    assert (await code_of(hub, ann), await code_of(hub, bob)) == ("unauthorized", "")
    again = await asyncio.to_thread(run, "sessions", *end)
    assert "no session" in refused(1, again)


async def test_all_sessions_of_a_user_are_ended_while_the_hub_is_stopped(
    hub_factory: HubFactory,
) -> None:
    hub = hub_factory(CONFIG)
    logins = [await log_in(hub), await log_in(hub), await log_in(hub, "bob")]
    await asyncio.to_thread(hub.stop)
    end = (hub.config, "end", "--user", "ann", "--data", hub.folder / "data")
    assert await asyncio.to_thread(output, "sessions", *end) == "2 sessions ended\n"
    await asyncio.to_thread(hub.start)
    codes = [await code_of(hub, each) for each in logins]
    assert codes == ["unauthorized", "unauthorized", ""]
