"""Before a hub is ready its clients wait; an application can take the place of another."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from eventhub.config import Config, Server
from eventhub.gateway import front as front_module
from eventhub.gateway.front import Front
from eventhub.gateway.sockets import Sockets
from tests.unit.gateway.serving import connected

GET = b"GET /a HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    """A front without an application."""
    server = Server(host="127.0.0.1", port=0)
    config = Config(path=tmp_path / "eventhub.yaml", data=tmp_path, server=server)
    async with Front.open(Sockets.bound(server), config) as made:
        yield made


def port_of(front: Front) -> int:
    return int(front.url.rpartition(":")[2])


def saying(text: str) -> web.Application:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=text)

    app = web.Application()
    app.router.add_get("/a", handle)
    return app


async def get(front: Front, path: str, **headers: str) -> tuple[int, str, str | None]:
    url = front.url + path
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
        return answer.status, await answer.text(), answer.headers.get("Retry-After")


async def test_before_there_is_an_application_only_probes_are_answered(front: Front) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(get(front, "/a"))
        assert await get(front, "/healthz") == (200, "alive\n", None)
        assert await get(front, "/readyz") == (503, "not ready\n", None)
        assert not waiting.done()
        front.serve(saying("at last"), front._config)
        assert await waiting == (200, "at last", None)


async def test_who_waits_too_long_is_told_to_come_back(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_module, "STARTING_SECONDS", 0.01)
    status, text, retry_after = await get(front, "/a")
    assert (status, retry_after) == (503, "5")
    assert '"code":"unavailable"' in text


async def test_an_event_stream_that_waits_too_long_is_cut_off_because_it_would_give_up(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_module, "STARTING_SECONDS", 0.01)
    async with connected(port_of(front)) as client:
        client.writer.write(GET + b"Accept: text/event-stream\r\n\r\n")
        assert await client.rest() == b""


async def test_a_hub_that_stops_before_it_is_ready_answers_those_who_wait(front: Front) -> None:
    async with connected(port_of(front)) as client:
        client.writer.write(GET + b"\r\n")
        async with asyncio.TaskGroup() as group:
            head = group.create_task(client.head())
            assert await get(front, "/healthz") == (200, "alive\n", None)  # the other one is in
            await front.close()
        assert b" 503 " in await head


async def test_an_open_connection_gets_the_next_answer_from_the_new_application(
    front: Front,
) -> None:
    async with connected(port_of(front)) as client:
        for word in (b"one", b"two"):
            front.serve(saying(word.decode()), front._config)
            client.writer.write(GET + b"\r\n")
            assert b" 200 " in await client.head()
            assert await client._reader.readexactly(3) == word
