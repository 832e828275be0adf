"""The path of shared sockets is for v2, and takes no arguments."""

from pathlib import Path

import pytest

from eventhub.errors import Close
from tests.unit.gateway.serving import V1, V2, connected, running
from tests.unit.gateway.sharing import PATH, opened


@pytest.mark.parametrize("headers", [b"", V1])
async def test_the_path_is_for_v2_only(tmp_path: Path, headers: bytes) -> None:
    async with opened(tmp_path, headers) as (_, client):
        assert (await client.json())["_error"]["code"] == "bad_request"
        assert await client.close_code() == Close.BAD_REQUEST


async def test_arguments_of_the_socket_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as hub, connected(hub.port) as client:
        await client.upgrade(V2, b"?text=a", path=PATH)
        assert (await client.json())["_error"]["code"] == "bad_filter"


async def test_a_request_that_is_no_websocket_gets_an_error_object(tmp_path: Path) -> None:
    async with running(tmp_path) as hub, hub.http.get(f"{hub.front.url}/-/socket") as answer:
        assert answer.status == 400
        assert "eventhub.v2.json" in (await answer.json())["_error"]["message"]


@pytest.mark.parametrize("path", [b"/nothing", b"/chat/a/b", b"/-/sockets"])
@pytest.mark.parametrize("headers", [b"", V1, V2])
async def test_a_websocket_at_an_unknown_path_gets_the_reason_and_a_close_code(
    tmp_path: Path, path: bytes, headers: bytes
) -> None:
    """Browsers show a refused handshake as a lost connection, after which clients come back."""
    async with running(tmp_path) as hub, connected(hub.port) as client:
        assert b" 101 " in await client.upgrade(headers, path=path)
        assert (await client.json())["_error"]["code"] == "unknown_path"
        assert await client.close_code() == Close.UNKNOWN_PATH
        async with hub.http.get(f"{hub.front.url}{path.decode()}") as answer:
            assert answer.status == 404
