"""With `log: {access: true}` each request and each connection has one line, without its query."""

import asyncio
import json
import os
import signal
from typing import Any

import aiohttp
import pytest

from tests.e2e.client import V1, connect
from tests.e2e.hub import DEADLINE_SECONDS, Hub, HubFactory

CONFIG = """
log: {level: error, access: true}
auth: {proxy: {header: X-User, trusted: [127.0.0.1]}}
url:
  chat:
    pattern: /chat
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}}
  private:
    pattern: /private
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}, auth: true}
  page:
    pattern: /(.*)
    handler: FileHandler
    kwargs: {path: $YAMLPATH/page}
"""


@pytest.fixture
def hub(hub_factory: HubFactory) -> Hub:
    """A hub that logs each request, and else only errors."""
    return hub_factory(CONFIG)


def lines(hub: Hub) -> list[dict[str, Any]]:
    parsed = (json.loads(line) for line in hub.stderr().splitlines() if line.startswith("{"))
    return [line for line in parsed if line["event"] == "access"]


async def line(hub: Hub, count: int = 1) -> dict[str, Any]:
    """Return the last of so many lines."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(lines(hub)) < count:
            await asyncio.sleep(0.01)
    assert len(lines(hub)) == count
    return lines(hub)[-1]


async def test_a_request_has_user_endpoint_status_time_and_bytes(hub: Hub) -> None:
    headers = {"X-User": "ann", "X-Forwarded-For": "192.0.2.7"}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(f"{hub.url}/chat?token=s3cret", json={"body": "a"}) as answer:
            size = len(await answer.read())
            assert answer.status == 201
        written = await line(hub)
        facts = {key: written[key] for key in ("by", "user", "endpoint", "method", "path")}
        assert facts == {
            "by": "192.0.2.7",
            "user": "ann",
            "endpoint": "chat",
            "method": "POST",
            "path": "/chat",
        }
        assert written["status"] == 201
        assert size < written["bytes"] < size + 1000  # with its headers
        assert 0 < written["ms"] < 1000 * DEADLINE_SECONDS
    assert "s3cret" not in hub.stderr()


@pytest.mark.parametrize(
    ("path", "status", "endpoint"),
    [
        ("/private", 401, "private"),
        ("/nowhere", 404, "page"),
        ("/nowhere%0A", 404, None),
        ("/healthz", 200, None),
        ("/chat?_sort=nothing", 400, "chat"),
    ],
)
async def test_a_refused_request_has_its_line(
    hub: Hub, path: str, status: int, endpoint: str | None
) -> None:
    async with aiohttp.ClientSession() as http, http.get(hub.url + path) as answer:
        assert answer.status == status
    written = await line(hub)
    assert (written["status"], written["user"], written["endpoint"]) == (status, None, endpoint)
    assert written["path"] == path.partition("?")[0]


async def test_bytes_that_are_no_request_have_their_line(hub: Hub) -> None:
    host, port = hub.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nno header\r\n\r\n")
    assert (await line(hub))["status"] == 400
    writer.close()


async def test_a_websocket_has_one_line_at_its_end_with_the_code(hub: Hub) -> None:
    async with connect(f"{hub.url}/chat", headers={"X-User": "ann"}) as client:
        await client.replay()
        await client.send({"body": "x" * 5000})
        await client.until(lambda frame: "body" in frame)
        assert lines(hub) == []
    written = await line(hub)
    assert (written["status"], written["code"], written["user"]) == (101, 1000, "ann")
    assert written["endpoint"] == "chat"
    assert written["bytes"] > 5000
    async with connect(f"{hub.url}/private") as client:
        await client.socket.receive()
        await client.socket.receive()
    assert (await line(hub, 2))["code"] == 4401


async def test_connections_that_a_stop_closes_and_that_vanish_have_their_codes(hub: Hub) -> None:
    async with connect(f"{hub.url}/chat") as stopped:
        await stopped.replay()
        async with aiohttp.ClientSession() as http:
            gone = await http.ws_connect(f"{hub.url}/chat", protocols=(V1,))
            assert gone._writer.transport is not None
            gone._writer.transport.abort()
            assert (await line(hub))["code"] == 1006
        assert hub.process is not None
        os.kill(hub.process.pid, signal.SIGTERM)
        await stopped.socket.receive()
    assert (await line(hub, 2))["code"] == 1012


async def test_an_event_stream_has_one_line_at_its_end(hub: Hub) -> None:
    headers = {"Accept": "text/event-stream"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{hub.url}/chat", headers=headers) as answer,
    ):
        await answer.content.readline()
        assert lines(hub) == []
    written = await line(hub)
    assert (written["status"], "code" in written) == (200, False)


async def test_without_the_setting_no_request_has_a_line(hub_factory: HubFactory) -> None:
    hub = await asyncio.to_thread(hub_factory, CONFIG.replace("access: true", "access: false"))
    async with aiohttp.ClientSession() as http, http.get(f"{hub.url}/chat") as answer:
        assert answer.status == 200
    assert await asyncio.to_thread(hub.stop) == 0
    assert lines(hub) == []
