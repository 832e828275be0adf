"""A login that is ended ends on each surface and each gateway at once, and over each restart."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from eventhub.broker import EmbeddedBroker
from tests.e2e.client import DEADLINE_SECONDS, V1, Closed, connect, request
from tests.e2e.command import output
from tests.e2e.hub import Hub, HubFactory, running_hub
from tests.e2e.surfaces import Headers, events
from tests.faults.conftest import broker_pid

CONFIG = """
server: {max_message: 1100000}
auth: {session: {secret: of the cookies}}
url:
  login:
    pattern: /login
    handler: SimpleAuth
    kwargs: {credentials: {ann: correct horse, bob: battery staple}}
  logout: {pattern: /logout, handler: LogoutHandler}
  chat:
    pattern: /chat
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}, auth: true}
  large:
    pattern: /large
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}, auth: true}
"""
PASSWORDS = {"ann": "correct horse", "bob": "battery staple"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests that need no other."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


async def log_in(hub: Hub, user: str = "ann") -> Headers:
    """Return the header with the cookie of a new login."""
    jar = aiohttp.DummyCookieJar()
    sent = {"user": user, "password": PASSWORDS[user]}
    async with (
        aiohttp.ClientSession(cookie_jar=jar) as session,
        session.post(f"{hub.url}/login", json=sent) as answer,
    ):
        assert answer.status == 200
        return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}


async def log_out(hub: Hub, headers: Headers, *, everywhere: bool = False) -> None:
    body = {"everywhere": True} if everywhere else {}
    assert (await request("POST", f"{hub.url}/logout", json=body, headers=headers))[0] == 200


async def code_of(hub: Hub, headers: Headers) -> str:
    """Return the error that a login gets; empty if it has access."""
    status, answer = await request("GET", f"{hub.url}/chat", headers=headers)
    return "" if status == 200 else str(answer["_error"]["code"])


@pytest.fixture
async def login(hub: Hub) -> AsyncIterator[Headers]:
    """A login of ann; bob's, which is open all the while, goes on."""
    other = await log_in(hub, "bob")
    async with connect(f"{hub.url}/chat?_since=now", headers=other) as client:
        await client.replay()
        yield await log_in(hub)
        assert "_ack" in await client.ask({"body": "of bob"})


@pytest.mark.parametrize("bare", [False, True])
async def test_a_socket_of_an_ended_login_is_closed_with_4412(
    hub: Hub, login: Headers, *, bare: bool
) -> None:
    async with connect(f"{hub.url}/chat", bare=bare, headers=login) as client:
        if not bare:
            await client.replay()
        await log_out(hub, login)
        frames = await client.until(lambda frame: "_error" in frame)
        assert frames[-1]["_error"]["code"] == "unauthorized"
        await client.send({"body": "too late"})
        with pytest.raises(Closed) as closed:
            await client.until(lambda _: False)
    assert closed.value.code == 4412
    assert await code_of(hub, login) == "unauthorized"


async def test_a_stream_of_an_ended_login_ends_with_an_error_event(
    hub: Hub, login: Headers
) -> None:
    async with events(f"{hub.url}/chat", login) as stream, asyncio.timeout(DEADLINE_SECONDS):
        assert not isinstance(stream, tuple)
        async for frame in stream:
            if "_ready" in frame:
                break
        await log_out(hub, login)
        frames = [frame async for frame in stream]
    assert frames[-1]["_error"]["code"] == "unauthorized"


async def test_a_poll_of_an_ended_login_ends(hub: Hub, login: Headers) -> None:
    async with aiohttp.ClientSession(headers=login) as session:
        async with session.get(f"{hub.url}/chat") as answer:
            position = answer.headers["EventHub-Position"]
        asked = {"_since": position, "_wait": "60"}
        async with asyncio.TaskGroup() as group, asyncio.timeout(DEADLINE_SECONDS):
            poll = group.create_task(_status(session, f"{hub.url}/chat", asked))
            async with connect(f"{hub.url}/chat?_since=now", headers=login) as client:
                await client.replay()  # the poll came before
                await log_out(hub, login)
        assert poll.result() == 401


async def _status(session: aiohttp.ClientSession, url: str, params: dict[str, str]) -> int:
    async with session.get(url, params=params) as answer:
        return answer.status


async def test_replays_and_answers_under_way_end(hub: Hub, login: Headers) -> None:
    """The clients read nothing until the login has ended, and then do not get all rows."""
    for number in range(40):
        message = {"id": f"large {number}", "body": "x" * 1_000_000}
        assert (await request("POST", f"{hub.url}/large", json=message, headers=login))[0] == 201
    url = f"{hub.url}/large"
    async with (
        aiohttp.ClientSession(headers=login) as session,
        session.ws_connect(url, protocols=(V1,), max_msg_size=0) as socket,
        session.get(url, headers={"Accept-Encoding": "identity"}) as rows,
        session.get(url, headers={"Accept": "text/event-stream"}) as stream,
    ):
        await log_out(hub, login, everywhere=True)
        async with asyncio.timeout(DEADLINE_SECONDS):
            frames = [each.data async for each in socket if each.type is aiohttp.WSMsgType.TEXT]
            assert not any('"_ready"' in frame for frame in frames)
            with pytest.raises(aiohttp.ClientError):
                await rows.read()
            with suppress(aiohttp.ClientError):
                assert b'"unauthorized"' in await stream.read()


async def test_a_file_that_is_being_sent_is_cut_off(hub_factory: HubFactory) -> None:
    entry = (
        "  file: {pattern: /file, handler: FileHandler,"
        " kwargs: {path: $YAMLPATH/large.bin, auth: true}}\n"
    )
    hub = hub_factory(CONFIG + entry, files={"large.bin": "x" * 40_000_000})
    login = await log_in(hub)
    async with (
        aiohttp.ClientSession(headers=login) as session,
        session.get(f"{hub.url}/file", headers={"Accept-Encoding": "identity"}) as answer,
    ):
        assert answer.status == 200
        await log_out(hub, login)
        async with asyncio.timeout(DEADLINE_SECONDS):
            with pytest.raises(aiohttp.ClientError):
                await answer.read()
    assert "Traceback" not in hub.stderr()


async def test_logins_hold_while_the_broker_is_away_and_after_it(hub_factory: HubFactory) -> None:
    hub = hub_factory(CONFIG)
    kept, ended = await log_in(hub), await log_in(hub)
    async with connect(f"{hub.url}/chat", headers=kept) as client:
        await client.replay()
        os.kill(broker_pid(hub), signal.SIGKILL)  # the hub starts another one
        await log_out(hub, ended)
        assert "_ack" in await client.ask({"body": "goes on"})
    assert [await code_of(hub, each) for each in (kept, ended)] == ["", "unauthorized"]


async def test_a_logout_ends_its_own_login_only_and_everywhere_means_all_of_the_user(
    hub: Hub, login: Headers
) -> None:
    second, third = await log_in(hub), await log_in(hub)
    await log_out(hub, login)
    assert await code_of(hub, login) == "unauthorized"
    assert await code_of(hub, second) == ""
    await log_out(hub, second, everywhere=True)
    assert [await code_of(hub, each) for each in (second, third)] == ["unauthorized"] * 2
    assert await code_of(hub, await log_in(hub)) == ""


async def test_an_ended_login_stays_ended_after_the_hub_was_killed(
    hub_factory: HubFactory,
) -> None:
    hub = hub_factory(CONFIG)
    ended, kept = await log_in(hub), await log_in(hub)
    await log_out(hub, ended)
    hub.kill()
    await asyncio.to_thread(hub.start)
    assert (await code_of(hub, ended), await code_of(hub, kept)) == ("unauthorized", "")


async def test_a_login_of_a_hub_whose_store_was_lost_does_not_hold(
    hub_factory: HubFactory,
) -> None:
    old, new = hub_factory(CONFIG), hub_factory(CONFIG)  # with the same secret
    assert await code_of(new, await log_in(old)) == "unauthorized"


async def test_a_logout_at_one_gateway_closes_the_sockets_of_another(
    hub_factory: HubFactory, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    there = f"broker: {{url: '{broker.url}', token: {broker.token}}}\n"
    one, other = hub_factory(there + CONFIG), hub_factory(there + CONFIG, role="gateway")
    login = await log_in(one)
    assert await code_of(other, login) == ""
    async with connect(f"{other.url}/chat", headers=login) as client:
        await client.replay()
        await log_out(one, login)
        with pytest.raises(Closed) as closed:
            await client.until(lambda _: False)
    assert closed.value.code == 4412
    assert await code_of(other, login) == "unauthorized"
    second = await log_in(other, "bob")
    end = ("sessions", one.config, "end", "--user", "bob", "--data", one.folder / "data")
    async with connect(f"{one.url}/chat", headers=second) as client:
        await client.replay()
        assert await asyncio.to_thread(output, *end) == "1 sessions ended\n"
        with pytest.raises(Closed, match="4412"):
            await client.until(lambda _: False)
