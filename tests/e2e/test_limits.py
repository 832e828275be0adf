"""A client that meets a limit learns which and for how long; other clients are served."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from tests.e2e.client import Closed, connect, request
from tests.e2e.hub import Hub, running_hub

CONFIG = """
server:
  max_connections_per_user: 3
  limits: {messages: 50, bytes: 1000000, connects: 1000, burst: 2}
auth: {proxy: {header: X-User, trusted: [127.0.0.1]}}
url:
  rows:
    pattern: /rows
    handler: MessageHandler
    kwargs: {columns: {body: TEXT, n: INTEGER}, auth: true}
  few:
    pattern: /few
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}, auth: true, quota: {rows: 20, events: 25}}
  heavy:
    pattern: /heavy
    handler: MessageHandler
    kwargs: {columns: {body: TEXT, n: INTEGER}, auth: true, quota: {bytes: 1500000}}
"""
ANN, BOB = {"X-User": "ann"}, {"X-User": "bob"}
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file, whose users differ."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client of HTTP."""
    async with aiohttp.ClientSession() as session:
        yield session


async def metric(hub: Hub, http: aiohttp.ClientSession, limit: str) -> float:
    async with http.get(f"{hub.url}/metrics") as answer:
        for line in (await answer.text()).splitlines():
            if line.startswith(f'eventhub_limited_total{{limit="{limit}"}} '):
                return float(line.split()[-1])
    return 0.0


async def test_a_user_with_too_many_connections_is_refused_the_next(
    hub: Hub, http: aiohttp.ClientSession
) -> None:
    url = f"{hub.url}/rows?_since=now"
    async with connect(url, headers=ANN) as first, AsyncExitStack() as others:
        await first.replay()
        await others.enter_async_context(connect(url, headers=ANN))
        await others.enter_async_context(http.get(url, headers=ANN | STREAM))
        async with connect(url, headers=ANN) as refused:
            error = (await refused.receive())["_error"]
            assert (error["code"], error["retry"]) == ("too_many_connections", True)
            assert error["retry_after"] == 5
            with pytest.raises(Closed) as closed:
                await refused.receive()
            assert closed.value.code == 4429
        for path, headers in ((url, STREAM), (f"{url}&_wait=1", {})):  # a stream, and a poll
            async with http.get(path, headers=ANN | headers) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (429, "5")
                assert (await answer.json())["_error"]["code"] == "too_many_connections"
        assert await metric(hub, http, "connections") >= 3
        async with connect(url, headers=BOB) as other:
            await other.replay()
        assert "_ack" in await first.ask({"body": "served"})
    async with asyncio.timeout(40):
        while True:
            async with connect(url, headers=ANN) as again:
                if "_error" not in await again.receive():
                    return


async def test_a_user_is_slowed_down_over_all_of_its_connections(
    hub: Hub, http: aiohttp.ClientSession
) -> None:
    carol, dave = {"X-User": "carol"}, {"X-User": "dave"}
    url = f"{hub.url}/rows?_since=now&id=nobody"
    async with connect(url, headers=carol) as one, connect(url, headers=carol) as two:
        await one.replay()
        await two.replay()
        began = time.monotonic()
        for number in range(100):
            for socket in (one, two):
                await socket.send({"n": number, "_ref": number})
        async with connect(url, headers=dave) as other:
            await other.replay()
            assert "_ack" in await other.ask({"body": "meanwhile"})
        status: int = 0
        reply: Any = None
        async with asyncio.timeout(40):
            while status != 429:
                status, reply = await request(
                    "POST", f"{hub.url}/rows", json={"body": "x"}, headers=carol
                )
        assert reply["_error"]["code"] == "rate_limited"
        assert reply["_error"]["retry_after"] >= 1
        for socket in (one, two):
            acks = [await acked(socket) for _ in range(100)]
            assert acks == [*range(100)]
        # 100 at once, and the others at 50 a second.
        assert time.monotonic() - began >= 1.9
    assert await metric(hub, http, "messages") > 0


async def acked(socket: Any) -> Any:
    frames = await socket.until(lambda frame: "_ack" in frame)
    return frames[-1]["_ack"]


async def test_changes_of_a_large_row_cost_its_size(hub: Hub, http: aiohttp.ClientSession) -> None:
    eve = {"X-User": "eve"}
    large = {"id": "large", "body": "x" * 400_000}
    async with http.post(f"{hub.url}/rows", json=large, headers=eve) as answer:
        assert answer.status == 201
    for number in range(100):  # 2 MB at once; the POST took half of it, and each PUT 400 KB
        change = {"id": "large", "n": number}
        async with http.put(f"{hub.url}/rows", json=change, headers=eve) as answer:
            if answer.status != 200:
                break
    else:
        pytest.fail("a hundred changes of 400 KB each were let through")
    assert answer.status == 429
    assert 1 <= number < 20
    async with http.put(f"{hub.url}/rows", json=change, headers=BOB) as answer:
        assert answer.status == 200


async def test_changes_of_a_large_row_of_another_user_count_in_the_quota_of_who_sends_them(
    hub: Hub, http: aiohttp.ClientSession
) -> None:
    """Each event holds the row of 400 KB, however little was sent."""
    owner, hal = {"X-User": "owner"}, {"X-User": "hal"}
    url = f"{hub.url}/heavy"
    status, _ = await request(
        "POST", url, json={"id": "large", "body": "x" * 400_000}, headers=owner
    )
    assert status == 201
    for number in range(4):
        assert (await request("PUT", url, json={"id": "large", "n": number}, headers=hal))[0] == 200
    status, reply = await request("PUT", url, json={"id": "large", "n": 4}, headers=hal)
    assert (status, reply["_error"]["code"]) == (429, "quota_exceeded")
    status, _ = await request("PUT", url, json={"id": "large", "n": -1}, headers=owner)
    assert status == 200


async def test_a_user_writes_no_more_in_a_day_than_the_quota_whatever_the_way(
    hub: Hub, http: aiohttp.ClientSession
) -> None:
    """By an array, by two sockets, after a restart; others have quotas of their own."""
    fay, gus = {"X-User": "fay"}, {"X-User": "gus"}
    url = f"{hub.url}/few"
    array = [{"id": f"row{number}", "body": "x"} for number in range(30)]
    status, reply = await request("POST", url, json=array, headers=gus)
    assert status == 200
    assert [("_error" in each) for each in reply] == [False] * 20 + [True] * 10
    assert reply[-1]["_error"]["code"] == "quota_exceeded"
    assert 0 < reply[-1]["_error"]["retry_after"] <= 86_400
    stored = 0
    async with connect(url, headers=fay) as one, connect(url, headers=fay) as two:
        for number in range(15):
            await one.send({"body": "one", "_ref": number})
            await two.send({"body": "two", "_ref": number})
        for socket in (one, two):
            for _ in range(15):
                frames = await socket.until(lambda f: "_ack" in f or "_error" in f)
                stored += "_ack" in frames[-1]
    assert stored == 20
    hub.kill()
    hub.start()
    url = f"{hub.url}/few"
    async with http.post(url, json={"body": "x"}, headers=fay) as answer:
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) > 0
    for number in range(5):
        change = {"id": f"row{number}", "body": "changed"}
        async with http.put(url, json=change, headers=gus) as answer:
            assert answer.status == 200
    async with http.put(url, json={"id": "row9", "body": "x"}, headers=gus) as answer:
        assert (answer.status, (await answer.json())["_error"]["code"]) == (429, "quota_exceeded")
    assert await metric(hub, http, "quota_rows") > 0
    assert await metric(hub, http, "quota_events") > 0
