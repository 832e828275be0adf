"""A gateway starts whole or not at all, and closes what is open when it stops."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from eventhub.config import Server
from eventhub.errors import Misconfigured
from tests.unit.gateway.serving import connected, running


async def failure(folder: Path, server: Server | None = None, **endpoint: Any) -> str:
    """Return why a gateway does not start."""
    with pytest.raises((Misconfigured, ExceptionGroup)) as caught:
        async with running(folder, server, **endpoint):
            pass
    error: BaseException = caught.value
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Misconfigured)
    return error.message


@pytest.mark.parametrize(
    ("endpoint", "named"),
    [
        ({"default": {"_limit": ["many"]}}, "url: chat: default: _limit"),
        ({"origins": ["good.example/path"]}, "url: chat"),
        ({"prepare": "1 +"}, "1 +"),
        ({"auth": {"condition": "1 +"}}, "condition"),
    ],
)
async def test_an_endpoint_that_cannot_work_stops_the_start(
    tmp_path: Path, endpoint: dict[str, Any], named: str
) -> None:
    assert named in await failure(tmp_path, **endpoint)


async def test_a_port_in_use_stops_the_start(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        server = Server(host="127.0.0.1", port=hub.port)
        assert f"127.0.0.1:{hub.port}" in await failure(tmp_path, server)


async def test_an_ipv6_address_is_bracketed_in_the_url(tmp_path: Path) -> None:
    async with running(tmp_path, Server(host="::1", port=0)) as hub:
        assert hub.front.url.startswith("http://[::1]:")
        async with hub.http.get(hub.url) as answer:
            assert answer.status == 200


async def test_a_stop_closes_connections_with_a_code_that_asks_to_reconnect(
    tmp_path: Path,
) -> None:
    async with aiohttp.ClientSession() as http:
        async with running(tmp_path) as hub:
            socket = await http.ws_connect(hub.url)
            port = hub.port
        closed = await socket.receive(timeout=10)
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1012)
        with pytest.raises(ConnectionRefusedError):
            async with connected(port):
                pass
