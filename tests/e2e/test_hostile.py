"""What one client sends, however it is made, costs the others nothing and is answered clearly."""

import asyncio
import time
from collections.abc import Iterator
from uuid import uuid4

import aiohttp
import pytest

from eventhub.broker import running_broker
from eventhub.jetstream import JetStreamLog, api
from tests.e2e.client import connect, get, request
from tests.e2e.hub import Hub, HubFactory, running_hub

CONFIG = """
server: {heartbeat: 0.3}
url:
  rows:
    pattern: /rows
    handler: MessageHandler
    kwargs: {columns: {body: TEXT, data: JSON, stars: {type: INTEGER, default: 3}}}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


async def slowest_answer(url: str, until: asyncio.Event) -> float:
    """Return the longest that another client's request took in the meantime."""
    slowest = 0.0
    async with aiohttp.ClientSession() as session:
        while not until.is_set():
            asked = time.monotonic()
            async with session.get(f"{url}/healthz") as answer:
                await answer.read()
            slowest = max(slowest, time.monotonic() - asked)
            await asyncio.sleep(0.01)
    return slowest


async def test_an_array_of_half_a_million_is_refused_at_once(hub: Hub) -> None:
    body = b"[" + b",".join([b"0"] * 500_000) + b"]"
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        others = group.create_task(slowest_answer(hub.url, done))
        status, reply = await request("POST", f"{hub.url}/rows", data=body)
        async with connect(f"{hub.url}/rows?_since=now") as client:
            await client.replay()
            await client.socket.send_str(body.decode())
            assert (await client.receive())["_error"]["code"] == "too_large"
        done.set()
    assert (status, reply["_error"]["code"]) == (413, "too_large")
    assert others.result() < 2


async def test_an_array_of_refusals_does_not_delay_others(hub: Hub) -> None:
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        others = group.create_task(slowest_answer(hub.url, done))
        status, reply = await request("POST", f"{hub.url}/rows", json=[0] * 10_000)
        done.set()
    assert (status, len(reply)) == (200, 10_000)
    assert others.result() < 1


@pytest.mark.parametrize("depth", [65, 500, 960, 990])
async def test_only_deep_nesting_is_refused(hub: Hub, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    body = f'{{"data": {nested}, "other": {nested}}}'
    status, reply = await request("POST", f"{hub.url}/rows", data=body)
    assert (status, reply["_error"]["code"]) == (400, "bad_json")
    nested = "[" * 63 + "]" * 63
    status, receipt = await request("POST", f"{hub.url}/rows", data=f'{{"data": {nested}}}')
    assert status == 201
    assert (await request("PUT", f"{hub.url}/rows", json={"id": receipt["id"]}))[0] == 200


async def test_a_key_that_was_used_for_another_write_is_refused(hub: Hub) -> None:
    url, key = f"{hub.url}/rows", uuid4().hex
    first = (await request("POST", url, json={"id": f"a{key}", "_key": key}))[1]
    await request("POST", url, json={"id": f"b{key}"})
    for method in ("PUT", "DELETE"):
        status, reply = await request(method, url, json={"id": f"b{key}", "_key": key})
        assert (status, reply["_error"]["code"]) == (400, "bad_control")
    again = (await request("POST", url, json={"id": f"a{key}", "_key": key}))[1]
    assert again == {**first, "duplicate": True}
    assert len(await get(url, id=f"b{key}")) == 1


async def test_defaults_of_columns_are_sent_live_as_on_replay(hub: Hub) -> None:
    async with connect(f"{hub.url}/rows?stars=3&_since=now") as client:
        await client.replay()
        row_id = (await client.write({"body": "x"}))["id"]
        assert client.table[row_id]["stars"] == 3


@pytest.mark.parametrize("method", ["LINK", "TRACE", "PROPFIND"])
async def test_another_http_method_is_not_allowed(hub: Hub, method: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{hub.url}/rows") as answer,
    ):
        assert answer.status == 405
        assert "POST" in answer.headers["Allow"]


async def test_a_foreign_message_in_the_log_is_left_out_and_hides_nothing(
    hub_factory: HubFactory,
) -> None:
    """A program with the broker's token publishes something that is not an event."""
    hub = hub_factory(CONFIG)
    url = f"{hub.url}/rows"
    await request("POST", url, json={"body": "before"})
    address = running_broker(hub.folder / "data")
    assert address is not None
    async with JetStreamLog.connect(address.url, token=address.token) as log:
        await api.store(log._connection, "eh.rows.foreign", b"garbage")
    assert [row["body"] for row in await get(url)] == ["before"]
    for since in ("earliest", "-1", "now"):
        async with connect(f"{url}?_since={since}") as client:
            await client.replay()
    await asyncio.to_thread(hub.stop)
    await asyncio.to_thread(hub.start)
    assert (await request("POST", url, json={"body": "after"}))[0] == 201
    assert [row["body"] for row in await get(url)] == ["before", "after"]
    assert "event_damaged" in hub.stderr()
