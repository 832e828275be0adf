"""A token is taken from where a browser can put it, refused elsewhere, and never logged."""

from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.e2e.client import V1, Client, Closed, request
from tests.e2e.hub import Hub, running_hub
from tests.e2e.surfaces import READS, WRITES, events
from tests.tokens import SECRET, encoded, token_of

ENDPOINTS = """
url:
  closed: {pattern: /closed, handler: MessageHandler, kwargs:
    {table: t, columns: {recipient: TEXT, body: TEXT}, auth: true}}
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
