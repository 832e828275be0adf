"""Programs send what is not stored, and see who is connected, also after a cut."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from eventhub_client import (
    AsyncHub,
    Hub,
    Present,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
    requests,
)
from tests.e2e.eventhub_client.conftest import get, through_proxy
from tests.e2e.hub import Hub as Server
from tests.ports import free_port
from tests.tokens import token_of

pytestmark = pytest.mark.xdist_group("eventhub_client")


async def heard(hub: AsyncHub, path: str, messages: AsyncGenerator[dict[str, Any], None]) -> Any:
    """Return the next message with an `n` of 1 or more, once the reader is connected."""
    found = asyncio.get_running_loop().create_task(anext(messages))
    while not found.done():
        await hub.send(path, {"topic": "a", "n": 0})
        await asyncio.sleep(0.01)
    return await found


async def test_a_message_reaches_who_listens_and_a_cut_loses_what_is_sent_meanwhile(
    server: Server, path: str
) -> None:
    async with (
        asyncio.timeout(30),
        AsyncHub(server.url) as hub,
        through_proxy(server) as (proxy, other),
        aclosing(other.sent(path, where={"topic": "a"})) as messages,
    ):
        assert (await heard(hub, path, messages))["n"] == 0
        said = await hub.send(path, {"topic": "a", "n": 1, "typing": True})
        assert said == {"sent": True, "ignored": ["typing"]}
        await hub.send(path, {"topic": "b", "n": 2})
        await hub.post(path, {"topic": "a", "n": 3})
        await hub.send(path, {"topic": "a", "n": 4})
        found = [await anext(messages)]
        while found[-1]["n"] != 4:
            found.append(await anext(messages))
        later = [message for message in found if message["n"]]
        assert [message["n"] for message in later] == [1, 4]
        assert later[0].keys() == {"topic", "n", "typing", "user", "timestamp"}
        proxy.abort()
        await hub.send(path, {"topic": "a", "n": 5})
        assert (await heard(hub, path, messages))["n"] == 0
    assert [row["n"] for row in get(server, path)] == [3]


async def test_who_is_connected_is_unknown_while_it_is_offline_and_then_known_again(
    server: Server, path: str
) -> None:
    async with (
        asyncio.timeout(30),
        AsyncHub(server.url, token=token_of("ann")) as hub,
        through_proxy(server) as (proxy, other),
        aclosing(other.presence(path)) as states,
        aclosing(hub.presence(path)) as mine,
    ):

        async def until(expected: Present | None) -> None:
            while await anext(states) != expected:
                pass

        await until(Present({}, 1))
        assert await anext(mine) is not None
        await until(Present({"ann": 1}, 1))
        proxy.abort()
        await until(None)
        await until(Present({"ann": 1}, 1))
        await mine.aclose()
        await until(Present({}, 1))


async def test_what_is_refused_ends_with_its_error(server: Server, hub: AsyncHub) -> None:
    with pytest.raises(UnauthorizedError):
        await anext(hub.sent("private"))
    async with AsyncHub(server.url, token=token_of("ann")) as known:
        with pytest.raises(RefusedError, match="presence"):
            await anext(known.presence("private"))
    with pytest.raises(UnauthorizedError):
        await hub.send("private", {"n": 1})


async def test_a_message_is_given_up_rather_than_sent_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long the patience for writes is."""
    monkeypatch.setattr(requests, "ONCE_SECONDS", 0.2)
    async with asyncio.timeout(20), AsyncHub(f"http://127.0.0.1:{free_port()}") as hub:
        with pytest.raises(UnavailableError):
            await hub.send("messages", {"n": 1})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with asyncio.timeout(20), AsyncHub(f"http://127.0.0.1:{port}") as hub:
            with pytest.raises(UnavailableError):
                await hub.send("messages", {"n": 1})


def test_a_program_without_an_event_loop_sends_and_sees_who_is_there(
    server: Server, path: str
) -> None:
    with Hub(server.url) as hub:
        for present in hub.presence(path):
            if present == Present({}, 1):
                break
        assert hub.send(path, {"n": 1}) == {"sent": True}
