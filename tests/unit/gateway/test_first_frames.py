"""A v1 client logs in with its first frame, in time; until then it gets nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventhub.config import Proxy
from eventhub.errors import Close
from eventhub.gateway import first_frames
from eventhub.gateway.throttle import ATTEMPTS
from tests.subscribing import append
from tests.tokens import AUTH, encoded, token_of
from tests.unit.gateway.serving import V1, Client, Running, connected, running


@asynccontextmanager
async def closed(folder: Path, **endpoint: Any) -> AsyncIterator[Running]:
    """A gateway whose endpoint needs a login."""
    async with running(folder, users=AUTH, auth=True, **endpoint) as hub:
        yield hub


async def refused(client: Client) -> tuple[str, int]:
    """Return the code of the error, and the close code; only a question may precede them."""
    frame = await client.json()
    if frame == {"_auth": "required"}:
        frame = await client.json()
    code = frame["_error"]["code"]
    close = await client.close_code()
    client.send(close.to_bytes(2, "big"), 0x88)
    assert await client.rest() == b""
    return code, close


async def test_a_client_gets_everything_after_its_first_frame(tmp_path: Path) -> None:
    async with closed(tmp_path) as hub, connected(hub.port) as client:
        await append(hub.stream, _method="POST", id="a", text="before")
        assert b"eventhub.v1.json" in await client.upgrade(V1)
        assert await client.json() == {"_auth": "required"}
        client.send({"_auth": token_of(), "_ref": 7})
        answer = await client.json()
        assert (answer["_auth"], answer["ref"]) == ("accepted", 7)
        assert answer["expires"].endswith("Z")
        assert (await client.json())["id"] == "a"
        assert "_ready" in await client.json()
        await append(hub.stream, _method="POST", id="b", text="after")
        assert (await client.json())["id"] == "b"


async def test_what_is_sent_behind_the_first_frame_is_stored(tmp_path: Path) -> None:
    async with closed(tmp_path) as hub, connected(hub.port) as client:
        await client.upgrade(V1)
        client.send({"_auth": token_of()})
        for number in range(300):  # more bytes than are read ahead
            client.send({"text": "x" * 100, "id": f"{number}", "_ref": number})
        acks: list[int] = []
        while len(acks) < 300:
            frame = await client.json()
            acks += [frame["_ack"]] if "_ack" in frame else []
        assert acks == [*range(300)]
        assert {row["user"] for row in hub.rows()} == {"ann"}


async def test_nothing_is_sent_or_stored_before_the_token(tmp_path: Path) -> None:
    async with closed(tmp_path) as hub, connected(hub.port) as client:
        await append(hub.stream, _method="POST", id="a", text="secret")
        await client.upgrade(V1)
        await append(hub.stream, _method="POST", id="b", text="secret")
        assert await client.json() == {"_auth": "required"}
        client.send(b"are you there", 0x89)
        assert await client.frame() == (10, b"are you there")  # what came before would precede it
        client.send({"text": "mine"})
        assert await refused(client) == ("unauthorized", Close.UNAUTHORIZED)
        assert [row["id"] for row in hub.rows()] == ["a", "b"]


@pytest.mark.parametrize(
    "first",
    [
        b"{",
        b"[]",
        b'"token"',
        {"text": "a message"},
        {"_auth": token_of(), "text": "and more"},
        [{"_auth": token_of()}, {"text": "and more"}],
        {"_auth": 1},
        {"_auth": "a.b.c"},
        {"_auth": token_of(seconds=-60)},
        {"_auth": "x" * 16_500},
        {"_auth": token_of(), "_ref": "x" * 18_000},
        b"x" * 60_000,
    ],
)
async def test_any_other_first_frame_ends_the_connection(tmp_path: Path, first: Any) -> None:
    data = first if isinstance(first, bytes) else msgspec.json.encode(first)
    async with closed(tmp_path) as hub, connected(hub.port) as client:
        await client.upgrade(V1)
        client.send(data)
        client.send({"text": "never stored"})
        if len(data) >= 60_000:  # it is not even read to its end
            assert await client.json() == {"_auth": "required"}
            assert await client.close_code() == Close.TOO_LARGE
        else:
            assert await refused(client) == ("unauthorized", Close.UNAUTHORIZED)
        assert hub.rows() == []


async def test_a_binary_frame_ends_the_connection(tmp_path: Path) -> None:
    async with closed(tmp_path) as hub, connected(hub.port) as client:
        await client.upgrade(V1)
        client.send({"_auth": token_of()}, 0x82)
        assert await refused(client) == ("unauthorized", Close.UNAUTHORIZED)


async def test_a_frame_that_does_not_end_is_bounded(tmp_path: Path) -> None:
    async with closed(tmp_path) as hub, connected(hub.port) as client:
        await client.upgrade(V1)
        client.send(b"x", 0x01)  # the first fragment of a message
        for _ in range(40):
            client.send(b"x" * 1000, 0x00)
        assert await client.json() == {"_auth": "required"}
        assert await client.close_code() == Close.TOO_LARGE


async def test_a_client_has_so_many_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_frames, "FIRST_FRAME_SECONDS", 0.2)
    async with closed(tmp_path) as hub, connected(hub.port) as client:
        await client.upgrade(V1)
        assert await refused(client) == ("unauthorized", Close.UNAUTHORIZED)


async def test_a_user_without_access_is_told_so(tmp_path: Path) -> None:
    rule = {"membership": {"role": "admin"}}
    async with running(tmp_path, users=AUTH, auth=rule) as hub, connected(hub.port) as client:
        await client.upgrade(V1)
        client.send({"_auth": token_of()})
        assert await refused(client) == ("forbidden", Close.FORBIDDEN)


@pytest.mark.parametrize(
    "headers",
    [b"", b"Sec-WebSocket-Protocol: other\r\n", V1.strip() + b", " + b"bearer.a.b.c\r\n"],
)
async def test_bare_clients_and_wrong_tokens_are_refused_at_once(
    tmp_path: Path, headers: bytes
) -> None:
    async with closed(tmp_path) as hub, connected(hub.port) as client:
        await client.upgrade(headers)
        assert await refused(client) == ("unauthorized", Close.UNAUTHORIZED)


async def test_a_page_of_another_site_is_refused_at_once(tmp_path: Path) -> None:
    async with closed(tmp_path) as hub, connected(hub.port) as client:
        await client.upgrade(V1 + b"Origin: https://evil.example\r\n")
        assert await refused(client) == ("forbidden", Close.FORBIDDEN)


async def test_a_hub_without_tokens_waits_for_none(tmp_path: Path) -> None:
    async with running(tmp_path, auth=True) as hub, connected(hub.port) as client:
        await client.upgrade(V1)
        assert await refused(client) == ("unauthorized", Close.UNAUTHORIZED)


async def test_one_client_too_many_takes_the_place_of_the_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_frames, "MAX_WAITING", 2)
    async with closed(tmp_path) as hub, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(hub.port)) for _ in range(3)]
        for client in clients:
            await client.upgrade(V1)
        assert await refused(clients[0]) == ("busy", Close.TRY_LATER)
        for client in clients[1:]:
            client.send({"_auth": token_of()})
            assert [(await client.json())["_auth"] for _ in range(2)] == ["required", "accepted"]


async def test_a_hub_that_stops_closes_clients_that_have_not_logged_in(tmp_path: Path) -> None:
    async with closed(tmp_path) as hub, connected(hub.port) as client:
        await client.upgrade(V1)
        hub.stop.set()
        assert await refused(client) == ("unavailable", Close.RESTART)


async def test_clients_that_leave_without_a_login_have_to_wait_like_refused_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventhub.gateway.throttle.BUSY_SECONDS", 0.0)
    monkeypatch.setattr("eventhub.gateway.arrivals.BUSY_SECONDS", 0.0)
    async with closed(tmp_path) as hub:
        heads = [b""]
        async with asyncio.timeout(40):  # the fewer in a second, the more are forgotten meanwhile
            while b" 503 " not in heads[-1]:
                async with connected(hub.port) as client:
                    heads.append(await client.upgrade(V1))
        assert b" 101 " in heads[1]
        assert len(heads) > ATTEMPTS
        async with connected(hub.port) as other:  # with a token in its handshake
            offered = f"Sec-WebSocket-Protocol: eventhub.v1.json, {encoded(token_of())}\r\n"
            assert b" 101 " in await other.upgrade(offered.encode())
            assert "_ready" in await other.json()


async def test_a_page_behind_a_trusted_proxy_logs_in_by_its_first_frame(tmp_path: Path) -> None:
    """Its origin is that of the host which the proxy names, also once the handshake is over."""
    users = msgspec.structs.replace(AUTH, proxy=Proxy(trusted=["127.0.0.1"]))
    named = b"X-Forwarded-Host: chat.example\r\nX-Forwarded-Proto: https\r\n"
    headers = V1 + b"Origin: https://chat.example\r\n" + named
    async with running(tmp_path, users=users, auth=True) as hub, connected(hub.port) as client:
        await client.upgrade(headers)
        assert await client.json() == {"_auth": "required"}
        client.send({"_auth": token_of()})
        assert (await client.json())["_auth"] == "accepted"
