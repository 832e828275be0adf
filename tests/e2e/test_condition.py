"""A process says that it is ready while it can do its work, and its clients can tell."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.cluster import SERVERS, Cluster
from tests.e2e.client import Closed, connect, get, request
from tests.e2e.hub import Hub, HubFactory
from tests.ports import free_port

CONFIG = """
broker: {{url: {urls}, replicas: 3}}
server: {{admin: {{port: {port}}}}}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs: {{columns: {{body: TEXT}}}}
"""
ALONE = """
server: {lame_duck: 60}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}}
"""


async def state(url: str, path: str = "/readyz") -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}{path}") as answer:
        return answer.status, await answer.text()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.05)


async def is_ready(url: str) -> bool:
    try:
        return (await state(url))[0] == 200
    except aiohttp.ClientError:
        return False


async def is_in_trouble(url: str) -> bool:
    return (await state(url))[0] == 503


@pytest.fixture
async def stopped(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three servers that do not run yet."""
    servers = Cluster(tmp_path / "cluster")
    yield servers
    servers.close()


@pytest.mark.timeout(180)
async def test_a_hub_waits_for_servers_and_sends_clients_elsewhere_without_a_quorum(
    stopped: Cluster, tmp_path: Path
) -> None:
    urls, port = f"[{', '.join(stopped.urls)}]", free_port()
    (tmp_path / "eventhub.yaml").write_text(CONFIG.format(urls=urls, port=port))
    gateway_port = free_port()
    hubs = [
        Hub(tmp_path / "eventhub.yaml", tmp_path / name, ["--role", name], port=gateway_port)
        for name in ("gateway", "projector")
    ]
    url, own = f"http://127.0.0.1:{gateway_port}", f"http://127.0.0.1:{port}"
    try:
        for hub in hubs:
            hub.folder.mkdir()
            hub.launch()
        await until(lambda: is_alive(url))
        await until(lambda: is_alive(own))
        assert await state(url) == await state(own) == (503, "not ready\n")
        for number in range(SERVERS):
            stopped.start(number)
        await until(lambda: is_ready(url))
        await until(lambda: is_ready(own))
        assert "eventhub_projected_sequence" in (await state(own, "/metrics"))[1]
        assert (await request("POST", f"{url}/notes", json={"id": "a", "body": "x"}))[0] == 201
        async with connect(f"{url}/notes") as client:
            await client.replay()
            for number in (1, 2):
                stopped.end(number, signal.SIGKILL)
            with pytest.raises(Closed, match="4503"):
                await client.until(lambda _: False)
        status, text = await state(url)
        assert status == 503
        assert text.startswith("the log of notes: it")
        await until(lambda: is_in_trouble(own))
        for path in ("/notes", "/notes/a", "/notes.csv"):
            status, answer = await request("GET", f"{url}{path}")
            assert (status, answer["_error"]["code"]) == (503, "unavailable"), path
        async with connect(f"{url}/notes") as client:
            assert (await client.receive())["_error"]["code"] == "unavailable"
        for number in (1, 2):
            stopped.start(number)
        await until(lambda: is_ready(url))
        assert [row["body"] for row in await get(f"{url}/notes")] == ["x"]
    finally:
        for hub in hubs:
            hub.kill()


async def is_alive(url: str) -> bool:
    try:
        return (await state(url, "/healthz"))[0] == 200
    except aiohttp.ClientError:
        return False


async def test_a_hub_that_is_about_to_stop_works_and_says_that_it_is_not_ready(
    hub_factory: HubFactory,
) -> None:
    hub = hub_factory(ALONE)
    assert await state(hub.url) == (200, "ready\n")
    assert hub.process is not None
    hub.process.send_signal(signal.SIGTERM)

    async def is_retiring() -> bool:
        return await state(hub.url) == (503, "stopping\n")

    await until(is_retiring)
    assert (await request("POST", f"{hub.url}/notes", json={"body": "x"}))[0] == 201
    async with connect(f"{hub.url}/notes") as client:
        assert [frame["body"] for frame in await client.replay() if "body" in frame] == ["x"]
        await client.write({"body": "y"})
