"""What follows a path comes back after every cut, and ends where coming back cannot help."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from eventhub_client import (
    AsyncHub,
    ForbiddenError,
    NotFoundError,
    RefusedError,
    UnauthorizedError,
    following,
)
from tests.e2e.eventhub_client.conftest import through_proxy
from tests.e2e.hub import Hub, running_hub
from tests.faults.proxy import Proxy
from tests.ports import free_port
from tests.tokens import token_of

pytestmark = pytest.mark.xdist_group("eventhub_client")


async def test_no_change_is_missing_or_repeated_over_cuts(server: Hub, path: str) -> None:
    seen = []
    async with (
        asyncio.timeout(30),
        AsyncHub(server.url) as writer,
        through_proxy(server) as (proxy, hub),
        aclosing(hub.changes(path, since="earliest")) as changes,
    ):
        for n in range(6):
            await writer.post(path, {"n": n})
            await writer.post(path, {"n": n})
            seen += [(await anext(changes)).seq, (await anext(changes)).seq]
            proxy.abort()
    assert seen == list(range(1, 13))


@pytest.mark.parametrize("since", ["now", "earliest"])
async def test_a_program_that_starts_before_its_hub_waits_for_it(
    server: Hub, path: str, since: str, caplog: pytest.LogCaptureFixture
) -> None:
    """However short its patience with requests is."""
    caplog.set_level("INFO", "eventhub_client")
    port, upstream = free_port(), int(server.url.rpartition(":")[2])
    async with (
        asyncio.timeout(30),
        AsyncHub(f"http://127.0.0.1:{port}", patience=0) as hub,
        AsyncHub(server.url) as writer,
        aclosing(hub.changes(path, since=since)) as changes,
        asyncio.TaskGroup() as group,
    ):
        waiting = group.create_task(anext(changes))
        while "trying again" not in caplog.text:
            await asyncio.sleep(0.01)
        async with Proxy(upstream).running(port):
            while not waiting.done():
                await writer.post(path, {"n": 1})
    assert waiting.result().method == "POST"


async def test_a_reader_that_is_slow_gets_everything_later(hub: AsyncHub, path: str) -> None:
    """It reads nothing while more is written than fits into any buffer on the way."""
    async with asyncio.timeout(50), aclosing(hub.changes(path)) as changes:
        first = asyncio.get_running_loop().create_task(anext(changes))
        await hub.post(path, {"n": 0})
        while not first.done():  # it has connected some time after it was asked
            await hub.post(path, {"n": 0})
            await asyncio.sleep(0.01)
        before = (await first).seq
        await hub.bulk(path, ({"n": n, "body": "x" * 200_000} for n in range(60)))
        seen = [(await anext(changes)).seq for _ in range(60)]
    assert seen == list(range(before + 1, before + 61))


async def test_a_hub_that_rarely_ticks_is_asked_whether_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As long as it answers the connection is good; otherwise another one takes its place."""
    caplog.set_level("DEBUG")
    monkeypatch.setattr(following, "SILENCE_SECONDS", 0.05)
    monkeypatch.setattr(following, "PONG_SECONDS", 1.0)
    table = "{t: {pattern: /t, handler: MessageHandler, kwargs: {columns: {n: INTEGER}}}}"
    with running_hub(tmp_path, f"server: {{heartbeat: 3600}}\nurl: {table}\n") as server:
        async with (
            asyncio.timeout(30),
            AsyncHub(server.url) as writer,
            through_proxy(server) as (proxy, hub),
            aclosing(hub.changes("t", since="earliest")) as changes,
        ):
            await writer.post("t", {"n": 1})
            assert (await anext(changes)).seq == 1
            waiting = asyncio.get_running_loop().create_task(anext(changes))
            while caplog.text.count("< PONG") < 2:
                await asyncio.sleep(0.01)
            assert "is offline" not in caplog.text
            proxy.is_swallowing = True
            while "is offline" not in caplog.text:
                await asyncio.sleep(0.01)
            proxy.is_swallowing = False
            await writer.post("t", {"n": 2})
            assert (await waiting).seq == 2


@pytest.mark.parametrize(
    ("path", "user", "kind"),
    [
        ("private", None, UnauthorizedError),
        ("closed", "ann", ForbiddenError),
        ("t0?n=many", None, RefusedError),
        ("nowhere", None, NotFoundError),
    ],
)
async def test_what_would_be_refused_again_ends_with_an_error_of_its_own(
    server: Hub, path: str, user: str | None, kind: type[Exception]
) -> None:
    async with AsyncHub(server.url, token=user and token_of(user)) as hub:
        with pytest.raises(kind) as raised:
            await anext(hub.changes(path))
        assert type(raised.value) is kind
        with pytest.raises(kind):
            await hub.rows(path).ready(20)


async def test_a_login_is_renewed_on_the_open_connection(server: Hub) -> None:
    """A token that ends within 30 s is announced at once; the next one is good for longer."""
    seconds = iter([20.0, 600.0])
    asked = 0

    def token() -> str:
        nonlocal asked
        asked += 1
        return token_of("ann", next(seconds, 600.0))

    async with AsyncHub(server.url, token=token) as hub:
        rows = hub.rows("private")
        await rows.ready(20)
        async with asyncio.timeout(20):
            while asked < 2:
                await asyncio.sleep(0.01)
        await hub.post("private", {"id": "after"})
        async for shown in rows.updates():
            if "after" in shown:
                break
        assert rows.state == "live"


async def test_an_expired_token_is_replaced_by_asking_and_otherwise_ends_it(server: Hub) -> None:
    old = token_of("ann", -10)
    tokens = iter([old, token_of("ann")])
    async with AsyncHub(server.url, token=lambda: next(tokens)) as hub:
        assert (await hub.post("private", {"id": "renewed"}))["id"] == "renewed"
    async with AsyncHub(server.url, token=old) as hub:
        with pytest.raises(UnauthorizedError):
            await hub.post("private", {})
        with pytest.raises(UnauthorizedError):
            await anext(hub.changes("private"))
