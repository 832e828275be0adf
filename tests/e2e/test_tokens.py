"""A token is taken from where a browser can put it, refused elsewhere, and never logged."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import jwt
import pytest

from tests.e2e.client import V1, Client, Closed, connect, request
from tests.e2e.command import run
from tests.e2e.hub import Hub, running_hub
from tests.e2e.surfaces import READS, WRITES, events
from tests.tokens import SECRET, encoded, token_of

ENDPOINTS = """
server: {max_message: 1100000}
url:
  closed: {pattern: /closed, handler: MessageHandler, kwargs:
    {table: t, columns: {recipient: TEXT, body: TEXT}, auth: true}}
  large: {pattern: /large, handler: MessageHandler, kwargs: {columns: {body: TEXT}, auth: true}}
  open: {pattern: /open, handler: MessageHandler, kwargs:
    {table: t, columns: {recipient: TEXT, body: TEXT}, unknown: ignore}}
"""
LOG = "log: {level: debug, access: true}\n"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that takes no tokens in URLs."""
    auth = f"auth: {{jwt: {{secret: {SECRET}}}}}\n"
    with running_hub(tmp_path_factory.mktemp("hub"), LOG + auth + ENDPOINTS) as hub:
        yield hub


@pytest.fixture(scope="module")
def lax(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that takes them."""
    auth = f"auth: {{query: true, jwt: {{secret: {SECRET}}}}}\n"
    with running_hub(tmp_path_factory.mktemp("lax"), LOG + auth + ENDPOINTS) as hub:
        yield hub


async def opened(url: str, *protocols: str, query: str = "") -> tuple[Any, str | None]:
    """Open a WebSocket, and write a row; return its `user`, or the code of the error."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url + query, protocols=protocols) as socket,
    ):
        client = Client(socket)
        frames = await client.until(lambda frame: "_ready" in frame or "_error" in frame)
        if "_error" in frames[-1]:
            with pytest.raises(Closed) as closed:
                await client.receive()
            return frames[-1]["_error"]["code"], str(closed.value.code)
        reply = await client.write({"body": "x"})
        return client.table[reply["id"]]["user"], socket.protocol


async def test_a_browser_sends_its_token_as_a_subprotocol_in_base64url(hub: Hub) -> None:
    token = token_of()
    assert await opened(f"{hub.url}/closed", V1, encoded(token)) == ("ann", V1)
    assert await opened(f"{hub.url}/closed", encoded(token), V1) == ("ann", V1)
    for refused in (encoded(token) + ".", encoded("a.b.c"), encoded(token[:-2])):
        assert await opened(f"{hub.url}/closed", V1, refused) == ("unauthorized", "4401")
    assert token not in hub.stderr()
    assert encoded(token) not in hub.stderr()


async def test_a_token_that_is_sent_in_two_ways_is_refused(hub: Hub) -> None:
    token = token_of()
    url = f"{hub.url}/closed"
    for protocols in ((f"bearer.{token}", encoded(token)), (encoded(token), encoded(token))):
        assert await opened(url, V1, *protocols) == ("unauthorized", "4401")


async def test_a_client_logs_in_with_its_first_frame(hub: Hub) -> None:
    async with connect(f"{hub.url}/closed?_since=now") as client:
        await client.send({"_auth": token_of(), "_ref": 1})
        await client.send({"body": "right behind", "_ref": 2})
        frames = await client.until(lambda frame: "_ack" in frame)
        assert [frame["_auth"] for frame in frames if "_auth" in frame] == ["required", "accepted"]
        row = await client.write({"body": "later"})
        assert client.table[row["id"]]["user"] == "ann"


async def test_a_refused_first_frame_is_closed_with_4401_and_never_logged(hub: Hub) -> None:
    token = token_of(seconds=-60)
    async with connect(f"{hub.url}/closed") as client:
        await client.send({"_auth": token})
        frames = await client.until(lambda frame: "_error" in frame)
        assert frames[-1]["_error"]["code"] == "unauthorized"
        with pytest.raises(Closed) as closed:
            await client.receive()
        assert closed.value.code == 4401
    assert '"access_refused"' in hub.stderr()
    assert token not in hub.stderr()


async def test_a_renewed_login_outlives_the_token_of_the_handshake(hub: Hub) -> None:
    first, second = token_of(seconds=4), token_of(role="admin")
    async with connect(f"{hub.url}/closed?_since=now", headers=bearer(first)) as client:
        await client.until(lambda frame: "_ready" in frame)
        await client.send({"_auth": second})
        answer = (await client.until(lambda frame: frame.get("_auth") == "renewed"))[-1]
        assert answer["expires"] > end_of(first)
        await until_expired(hub, first)
        assert "_ack" in await client.ask({"body": "still here"})


async def test_a_login_is_renewed_while_a_slow_client_gets_its_replay(hub: Hub) -> None:
    """It reads nothing until its socket is full, so that the hub cannot answer at once."""
    for number in range(24):
        message = {"id": str(number), "body": "x" * 1_000_000}
        headers = bearer(token_of())
        status, _ = await request("POST", f"{hub.url}/large", json=message, headers=headers)
        assert status == 201
    first = token_of(seconds=5)
    async with connect(f"{hub.url}/large", headers=bearer(first)) as client:
        await client.send({"_auth": token_of()})
        while len(client.table) < 12:
            await client.receive()
        await until_expired(hub, first)
        frames = await client.replay()
        assert len(client.table) == 24
        assert "_ack" in await client.ask({"body": "now live"})
        assert not any("_error" in frame for frame in frames)


async def test_after_a_renewal_only_the_end_of_the_new_login_counts(hub: Hub) -> None:
    first, second = token_of(jti="first"), token_of(jti="second")
    async with connect(f"{hub.url}/closed?_since=now", headers=bearer(first)) as client:
        await client.until(lambda frame: "_ready" in frame)
        await client.send({"_auth": second})
        await client.until(lambda frame: frame.get("_auth") == "renewed")
        await revoke(hub, "first")
        assert "_ack" in await client.ask({"body": "still here"})
        await client.send({"_auth": first, "_ref": "old"})
        refused = (await client.until(lambda frame: "_error" in frame))[-1]["_error"]
        assert (refused["code"], refused["ref"]) == ("unauthorized", "old")
        await revoke(hub, "second")
        with pytest.raises(Closed, match="4412"):
            await client.until(lambda _: False)


async def revoke(hub: Hub, jti: str) -> None:
    """Revoke a token, as an operator does."""
    words = ("token", hub.config, "revoke", "--jti", jti, "--expires", "1h")
    done = await asyncio.to_thread(run, *words, "--data", hub.folder / "data")
    assert done.returncode == 0, done.stderr


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def end_of(token: str) -> str:
    """Return the time at which a token ends, as frames have it."""
    ends = jwt.decode(token, options={"verify_signature": False})["exp"]
    return datetime.fromtimestamp(ends, UTC).isoformat().replace("+00:00", "Z")


async def until_expired(hub: Hub, token: str) -> None:
    """Return when the hub ends connections of a login."""
    url = f"{hub.url}/closed?_since=now"
    async with connect(url, bare=True, headers=bearer(token)) as client:
        await client.until(lambda frame: "_error" in frame)


@pytest.mark.parametrize("surface", [*READS, *WRITES])
async def test_a_token_in_the_url_is_refused_on_every_surface(hub: Hub, surface: str) -> None:
    ask = {**READS, **WRITES}[surface]
    for path in ("closed", "open"):  # the latter ignores unknown arguments
        assert (await ask(f"{hub.url}/{path}", {}, f"_token={token_of()}")).code == "bad_filter"


async def test_the_refusal_names_the_setting(hub: Hub) -> None:
    status, body = await request("GET", f"{hub.url}/open", params={"_token": token_of()})
    assert (status, body["_error"]["column"]) == (400, "_token")
    assert "auth: query: true" in body["_error"]["message"]


async def test_with_the_setting_sockets_and_streams_take_a_token_from_the_url(lax: Hub) -> None:
    token = token_of()
    url, query = f"{lax.url}/closed", f"?_token={token}"
    assert await opened(url, V1, query=query) == ("ann", V1)
    async with events(url + query, {}) as stream:
        assert not isinstance(stream, tuple)
        assert "_resume" in await anext(stream)
    assert await opened(url, V1, query="?_token=a.b.c") == ("unauthorized", "4401")
    assert await opened(url, V1, encoded(token), query=query) == ("unauthorized", "4401")
    assert await opened(url, V1, query=f"{query}&_token={token}") == ("unauthorized", "4401")
    assert any('"user": "ann"' in line for line in lax.stderr().splitlines())


@pytest.mark.parametrize("surface", ["GET", "GET csv", "file", "GET, as of", *WRITES])
async def test_with_the_setting_other_requests_are_refused(lax: Hub, surface: str) -> None:
    ask = {**READS, **WRITES}[surface]
    for path in ("closed", "open"):
        assert (await ask(f"{lax.url}/{path}", {}, f"_token={token_of()}")).code == "bad_filter"


async def test_no_token_is_in_the_log_or_the_data(lax: Hub) -> None:
    tokens = [token_of(seconds=700 + number) for number in range(3)]
    url = f"{lax.url}/closed"
    assert (await opened(url, V1, query=f"?_token={tokens[0]}"))[0] == "ann"
    assert (await opened(url, V1, query=f"?_token={tokens[1]}&_limt=1"))[0] == "bad_filter"
    assert (await request("GET", f"{url}?_token={tokens[2]}"))[0] == 400
    kept = [path for path in lax.folder.rglob("*") if path.is_file()]
    assert any(path.name == "stderr.txt" for path in kept)
    for token in tokens:
        for path in kept:
            assert token.encode() not in path.read_bytes(), path
