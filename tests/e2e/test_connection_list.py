"""Operators see who is connected and how far behind, and close connections."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from eventhub.gateway.connection_list import CONDITIONS, PATH, SLICE
from tests.e2e.client import DEADLINE_SECONDS, Client, Closed, connect, request
from tests.e2e.hub import Hub, running_hub
from tests.tokens import SECRET, token_of

CONFIG = f"""
auth: {{jwt: {{secret: {SECRET}}}}}
server: {{admin: {{token: an-operators-token}}}}
url:
  notes: {{pattern: /notes, handler: MessageHandler, kwargs:
    {{columns: {{topic: TEXT, body: TEXT}}}}}}
  more: {{pattern: /more, handler: MessageHandler, kwargs: {{columns: {{body: TEXT}}}}}}
  audit: {{pattern: /audit, handler: MessageHandler, kwargs:
    {{table: _audit, auth: {{membership: {{role: auditor}}}}}}}}
"""
ANN = {"Authorization": f"Bearer {token_of('ann')}"}
AUDITOR = {"Authorization": f"Bearer {token_of('eve', role='auditor')}"}
OPERATOR = {"Authorization": "Bearer an-operators-token"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


async def listed(hub: Hub, query: str = "", least: int = 0) -> list[dict[str, Any]]:
    """Return the connections, once there are so many."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            status, found = await request("GET", f"{hub.url}{PATH}{query}")
            assert status == 200, found
            if len(found) >= least:
                return list(found)


async def end_of(client: Client) -> int | None:
    with pytest.raises(Closed) as closed:
        await client.until(lambda _: False)
    return closed.value.code


async def test_a_connection_is_listed_with_its_client_and_what_it_follows(hub: Hub) -> None:
    async with (
        connect(f"{hub.url}/notes?topic=Help&topic=News", headers=ANN) as ann,
        connect(f"{hub.url}/more", bare=True),
        aiohttp.ClientSession() as session,
        session.get(f"{hub.url}/notes", headers={"Accept": "text/event-stream"}) as stream,
    ):
        await ann.replay()
        assert stream.status == 200
        of_ann, other, events = sorted(await listed(hub, least=3), key=lambda each: int(each["id"]))
        assert of_ann["opened"] <= other["opened"] <= events["opened"]
        for each in (of_ann, other, events):
            del each["id"], each["opened"]
        assert of_ann == {
            "endpoint": "notes",
            "table": "notes",
            "user": "ann",
            "address": "127.0.0.1",
            "form": "v1",
            "args": {"topic": ["Help", "News"]},
            "behind": 0,
        }
        assert [other["form"], other["user"], events["form"]] == ["bare", None, "sse"]
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await listed(hub):
            pass


async def test_conditions_choose_and_only_these_are_closed(hub: Hub) -> None:
    async with (
        connect(f"{hub.url}/notes", headers=ANN) as ann,
        connect(f"{hub.url}/more") as other,
        connect(f"{hub.url}/notes") as third,
    ):
        for client in (ann, other, third):
            await client.replay()
        assert len(await listed(hub, "?endpoint=notes&address=127.0.0.1")) == 2
        assert await listed(hub, "?endpoint=notes&user=bob") == []
        status, closed = await request("DELETE", f"{hub.url}{PATH}?user=ann")
        assert (status, [each["user"] for each in closed]) == (200, ["ann"])
        assert await end_of(ann) == 1012
        left = await listed(hub)
        assert sorted(each["endpoint"] for each in left) == ["more", "notes"]
        [one] = [each["id"] for each in left if each["endpoint"] == "more"]
        await request("DELETE", f"{hub.url}{PATH}?id={one}")
        assert await end_of(other) == 1012
        assert await request("DELETE", f"{hub.url}{PATH}?id={one}") == (200, [])
        await third.write({"body": "still here"})
    _, entries = await request(
        "GET", f"{hub.url}/audit?action=disconnected&_sort=timestamp", headers=AUDITOR
    )
    assert [(each["count"], each["detail"]) for each in entries[-3:]] == [
        (1, {"user": "ann"}),
        (1, {"id": one}),
        (0, {"id": one}),
    ]


async def test_who_is_behind_comes_first_by_how_many_events(hub: Hub) -> None:
    async with connect(f"{hub.url}/more") as quick, connect(f"{hub.url}/more") as slow:
        await quick.replay()
        await slow.replay()
        connection = slow.socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.pause_reading()
        async with asyncio.timeout(60):  # some hundred writes fill the buffers of the kernel
            while (found := await listed(hub))[0]["behind"] < 3:
                await quick.write({"body": "x" * 100_000})
        assert found[1]["behind"] == 0
        connection.transport.resume_reading()
        await slow.until(lambda _: slow.sequence == quick.sequence)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while any(each["behind"] for each in await listed(hub)):
                pass


async def test_more_connections_than_one_turn_describes_are_listed(hub: Hub) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(SLICE + 5):
            await stack.enter_async_context(connect(f"{hub.url}/notes?_since=now"))
        found = await listed(hub, least=SLICE + 5)
        assert len({each["id"] for each in found}) == SLICE + 5


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_only_operators_see_and_close_connections(hub: Hub, method: str) -> None:
    url = f"{hub.url}{PATH}?id=0"
    forwarded = {"X-Forwarded-For": "192.0.2.1"}
    for headers in (forwarded, {**forwarded, **ANN}, {"Origin": "https://evil.example"}):
        assert (await request(method, url, headers=headers))[0] == 403
    assert await request(method, url, headers={**forwarded, **OPERATOR}) == (200, [])


@pytest.mark.parametrize(
    ("method", "query"), [("GET", "?usr=ann"), ("DELETE", "?usr=ann"), ("DELETE", "")]
)
async def test_what_is_not_a_condition_is_refused_and_closes_nothing(
    hub: Hub, method: str, query: str
) -> None:
    async with connect(f"{hub.url}/notes") as client:
        await client.replay()
        status, answer = await request(method, f"{hub.url}{PATH}{query}")
        assert (status, answer["_error"]["code"]) == (400, "bad_request")
        assert all(name in answer["_error"]["message"] for name in CONDITIONS)
        await client.write({"body": "still here"})
