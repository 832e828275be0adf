"""The files of `deploy/proxy` pass on everything that a client needs, and say who it is."""

import asyncio
import json
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.deploy.reverse_proxies import (
    FILES,
    NAME,
    PROGRAMS,
    browser,
    make_certificate,
    running_proxy,
)
from tests.e2e.client import DEADLINE_SECONDS, V1
from tests.e2e.hub import Hub
from tests.unit.test_docs import page

LONG = "?" + "&".join(f"id=none{number:04}" for number in range(4500))
"""A filter in a URL of 54 KB."""

V2 = "eventhub.v2.json"
TOKEN = "a-token-for-operators"


def block(language: str) -> str:
    """Return the one block of docs/proxies.md in a language."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", page("proxies.md"), re.M | re.S)
    return str(text)


pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("collected"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxies")


@pytest.fixture(scope="module")
def trust(folder: Path) -> ssl.SSLContext:
    return make_certificate(folder)


@pytest.fixture(scope="module")
def hub(folder: Path) -> Iterator[Hub]:
    config = folder / "eventhub.yaml"
    closed = "{columns: {topic: TEXT, body: TEXT}, auth: true}"
    entry = f"  closed: {{pattern: /closed, handler: MessageHandler, kwargs: {closed}}}\n"
    token = f"  admin: {{token: {TOKEN}}}\n"
    text = block("yaml").replace("auth:\n", f"{token}auth:\n", 1)
    config.write_text(f"{text}{entry}console: {{auth: false}}\n")
    hub = Hub(config, folder, [])
    hub.start()
    yield hub
    hub.kill()


@pytest.fixture(scope="module", params=PROGRAMS)
def origin(
    request: pytest.FixtureRequest, hub: Hub, folder: Path, trust: ssl.SSLContext
) -> Iterator[str]:
    """The hub's origin, as browsers know it; both gateways are the same hub here."""
    with running_proxy(request.param, [hub.port] * 2, folder) as port:
        yield f"https://{NAME}:{port}"


async def write(session: aiohttp.ClientSession, body: str) -> Any:
    message = {"topic": "Help", "body": body}
    async with session.post("/messages", json=message) as answer:
        assert answer.status == 201, await answer.text()
        return await answer.json()


@pytest.mark.parametrize(("program", "name"), PROGRAMS.items())
def test_the_page_shows_the_file(program: str, name: str) -> None:
    assert block(program) == (FILES / name).read_text("utf-8")


async def test_a_websocket_writes_and_receives(origin: str, trust: ssl.SSLContext) -> None:
    async with (
        browser(origin, trust) as session,
        session.ws_connect("/messages?_since=now", protocols=[V1], origin=origin) as socket,
    ):
        assert "_resume" in await socket.receive_json()
        assert "_ready" in await socket.receive_json()
        await socket.send_json({"topic": "Help", "body": "hello", "_ref": 1})
        frames = [await socket.receive_json(), await socket.receive_json()]
        assert sorted(frame.get("body", "") for frame in frames) == ["", "hello"]


async def test_a_page_has_many_subscriptions_on_one_websocket(
    origin: str, trust: ssl.SSLContext
) -> None:
    async with (
        browser(origin, trust) as session,
        session.ws_connect("/-/socket", protocols=[V2], origin=origin) as socket,
    ):
        assert socket.protocol == V2
        for number in (1, 2):
            query = f"topic=proxied{number}&_since=now"
            await socket.send_json({"_subscribe": number, "path": "/messages", "query": query})
            while "_ready" not in (frame := await socket.receive_json()):
                pass
            assert frame["_sub"] == number
        async with session.post("/messages", json={"topic": "proxied2", "body": "b"}) as answer:
            assert answer.status == 201
        frame = await socket.receive_json()
        assert (frame["_sub"], frame["_changes"][0]["body"]) == (2, "b")


async def test_the_console_opens_and_asks_for_the_token_of_operators(
    origin: str, trust: ssl.SSLContext
) -> None:
    async with browser(origin, trust) as session:
        async with session.get("/-/") as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
        for path in ("/-/vitals", "/metrics"):
            async with session.get(path) as answer:
                assert answer.status == 403
            async with session.get(path, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
                assert answer.status == 200


async def test_an_event_reaches_a_stream_while_it_is_open(
    origin: str, trust: ssl.SSLContext
) -> None:
    headers = {"Accept": "text/event-stream"}
    async with (
        browser(origin, trust) as session,
        session.get("/messages?_since=now", headers=headers) as stream,
    ):
        assert stream.status == 200
        await until(stream, b'"_ready"')
        for number in range(3):  # each before the next is written
            await write(session, f"streamed {number}")
            await until(stream, b'"streamed %d"' % number)


async def until(stream: aiohttp.ClientResponse, text: bytes) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while text not in await stream.content.readline():
            pass


async def test_a_poll_waits_for_an_event(origin: str, trust: ssl.SSLContext) -> None:
    async with browser(origin, trust) as session:
        async with session.get("/messages?_limit=0") as answer:
            position = answer.headers["EventHub-Position"]
        async with asyncio.TaskGroup() as group:
            poll = group.create_task(polled(session, position))
            await write(session, "polled")
        assert [event["body"] for event in poll.result()] == ["polled"]


async def polled(session: aiohttp.ClientSession, position: str) -> Any:
    async with session.get(f"/messages?_since={position}&_wait=10") as answer:
        return await answer.json()


async def test_a_large_body_and_a_long_filter_pass(origin: str, trust: ssl.SSLContext) -> None:
    async with browser(origin, trust) as session:
        receipt = await write(session, "x" * 1_000_000)
        async with session.get(f"/messages?id={receipt['id']}") as answer:
            assert [len(row["body"]) for row in await answer.json()] == [1_000_000]
        async with session.get(f"/messages{LONG}") as answer:
            assert (answer.status, await answer.json()) == (200, [])


async def test_the_hub_knows_the_scheme_and_the_address_of_a_client(
    origin: str, trust: ssl.SSLContext, hub: Hub
) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http"}
    async with browser(origin, trust) as session:
        async with session.get("/messages", headers=forged) as answer:
            cookie = answer.headers["Set-Cookie"]
            assert re.match("__Host-eventhub-.*; Secure", cookie), cookie
        async with session.get("/closed", headers=forged) as answer:
            assert answer.status == 401
        lines = [line for line in hub.stderr().splitlines() if "access_refused" in line]
        assert json.loads(lines[-1])["by"] == "127.0.0.1"


async def test_a_page_of_another_site_is_refused(origin: str, trust: ssl.SSLContext) -> None:
    async with browser(origin, trust) as session:
        plain = origin.replace("https:", "http:")
        for foreign in ("https://evil.example", plain):
            async with session.get("/messages", headers={"Origin": foreign}) as answer:
                assert answer.status == 403
        forged = {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"}
        async with session.get("/messages", headers=forged) as answer:
            assert answer.status == 403


async def test_a_header_that_names_a_user_is_not_believed_without_header(
    origin: str, trust: ssl.SSLContext
) -> None:
    headers = {"X-Forwarded-User": "root"}
    async with (
        browser(origin, trust) as session,
        session.get("/closed", headers=headers) as answer,
    ):
        assert answer.status == 401
