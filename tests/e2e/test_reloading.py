"""After SIGHUP a hub serves what its file says then, and drops no connection that may go on."""

import asyncio
import os
import signal
import time

import aiohttp
import pytest
from jwt import encode

from tests.e2e.client import Closed, connect, get, subscribe
from tests.e2e.hub import DEADLINE_SECONDS, Hub, HubFactory
from tests.e2e.reload import CHAT, OTHER, post, reload, said, until


@pytest.fixture
def hub(hub_factory: HubFactory) -> Hub:
    """A hub with one endpoint."""
    return hub_factory(CHAT)


async def test_a_new_endpoint_is_served_and_open_connections_go_on(hub: Hub) -> None:
    async with connect(f"{hub.url}/chat") as client:
        await client.replay()
        await reload(hub, CHAT + OTHER)
        assert await post(f"{hub.url}/other", word="new") == 201
        assert [row["word"] for row in await get(f"{hub.url}/other")] == ["new"]
        async with connect(f"{hub.url}/other") as other:
            await other.replay()
            await post(f"{hub.url}/other", word="live")
            assert (await other.receive())["word"] == "live"
        await post(f"{hub.url}/chat", body="still here")
        assert (await client.receive())["body"] == "still here"
        (facts,) = said(hub, "reloaded")
        assert (facts["added"], facts["removed"], facts["closed"]) == (["other"], [], 0)
    assert await asyncio.to_thread(hub.stop) == 0


async def test_a_removed_endpoint_is_gone_and_its_connections_are_told_to_come_back(
    hub: Hub,
) -> None:
    await reload(hub, CHAT + OTHER)
    async with connect(f"{hub.url}/chat") as kept, connect(f"{hub.url}/other") as client:
        await kept.replay()
        await client.replay()
        await reload(hub, CHAT)
        with pytest.raises(Closed) as closed:
            await client.until(lambda _: False)
        assert closed.value.code == 1012
        assert await post(f"{hub.url}/other", word="late") == 404
        await post(f"{hub.url}/chat", body="hi")
        assert (await kept.receive())["body"] == "hi"
    await reload(hub, CHAT + OTHER)
    assert await post(f"{hub.url}/other", word="back") == 201


async def test_a_new_hook_applies_to_the_next_message_of_an_open_connection(hub: Hub) -> None:
    async with connect(f"{hub.url}/chat") as client:
        await client.replay()
        await client.send({"body": "free", "_ref": 1})
        await client.until(lambda frame: frame.get("_ack") == 1)
        shout = "      prepare: msg.update(body=msg['body'].upper())\n"
        await reload(hub, CHAT + shout)
        await client.send({"body": "loud", "_ref": 2})
        await client.until(lambda frame: frame.get("_ack") == 2)
        assert [row["body"] for row in await get(f"{hub.url}/chat")] == ["free", "LOUD"]
        assert said(hub, "reloaded")[-1]["closed"] == 0


async def test_a_connection_whose_rule_changed_is_closed_and_asked_again(hub: Hub) -> None:
    async with connect(f"{hub.url}/chat") as client:
        await client.replay()
        await reload(hub, CHAT + "      auth: true\n")
        with pytest.raises(Closed) as closed:
            await client.until(lambda _: False)
        assert closed.value.code == 1012
    assert await post(f"{hub.url}/chat", body="hi") == 401


async def test_a_changed_module_of_a_hook_is_imported_again(hub_factory: HubFactory) -> None:
    config = CHAT + "      prepare: my_rules.check(msg)\n"
    module = "def check(msg):\n    msg['n'] = {}\n"
    files = {"my_rules.py": module.format(1)}
    hub = await asyncio.to_thread(hub_factory, config, files=files)
    path = hub.config.with_name("my_rules.py")
    await post(f"{hub.url}/chat", body="a")
    path.write_text(module.format(22))
    await reload(hub)
    await post(f"{hub.url}/chat", body="b")
    path.write_text("def chek(msg): pass\n")
    (problem,) = await reload(hub, refused=1)
    assert "module my_rules has no 'check'" in problem
    await post(f"{hub.url}/chat", body="c")
    assert [row["n"] for row in await get(f"{hub.url}/chat")] == [1, 22, 22]


async def test_all_that_is_wrong_with_a_broken_file_is_logged_and_the_old_one_stays(
    hub: Hub,
) -> None:
    broken = "server: {drain: -1}\n" + CHAT + "      prepare: 1 +\n      opne: x\n"
    problems = await reload(hub, broken, refused=3)
    assert [each.split(": ")[1] for each in problems] == [
        "server.drain",
        "url.chat.kwargs.prepare",
        "url.chat.kwargs",
    ]
    assert await post(f"{hub.url}/chat", body="hi") == 201


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("server: {port: 1}\n" + CHAT, None),  # the flag has the last word
        ("server: {socket_access: owner}\n" + CHAT, "server.socket_access"),
        ("projection: {path: other.duckdb}\n" + CHAT, "projection"),
        (CHAT.replace("n: INTEGER", "n: TEXT"), "the columns of table chat"),
        (CHAT + "      url: sqlite:///a.db\n", "url: chat: url, which names another database"),
    ],
)
async def test_what_needs_a_restart_is_named_and_nothing_else_changes(
    hub: Hub, text: str, what: str | None
) -> None:
    if what is None:
        await reload(hub, text)
        return
    assert await reload(hub, text + OTHER, refused=1) == [f"needs a restart: {what}"]
    assert await post(f"{hub.url}/other", word="x") == 404


async def test_a_new_key_is_asked_for_at_once_and_the_old_one_ends(hub_factory: HubFactory) -> None:
    jwt = "auth: {{jwt: {{secret: {}}}}}\n"
    first, second = "a secret of thirty-two characters", "another of thirty-two characters!"
    text = CHAT + "      auth: true\n"
    hub = await asyncio.to_thread(hub_factory, jwt.format(first) + text)
    url = f"{hub.url}/chat"
    token = encode({"sub": "ann", "exp": int(time.time()) + 36_000}, first, "HS256")
    login = {"Authorization": f"Bearer {token}"}
    async with (
        connect(url, headers=login) as own,
        subscribe(url, headers=login) as shared,
        connect(url) as newcomer,
    ):
        for client in (own, shared):
            await client.replay()
        await newcomer.until(lambda frame: frame == {"_auth": "required"})
        await reload(hub, jwt.format(second) + text)
        await newcomer.send({"_auth": token})
        for client, code in ((own, 1012), (shared, 1012), (newcomer, 4401)):
            with pytest.raises(Closed) as closed:
                await client.until(lambda _: False)
            assert closed.value.code == code
    assert first not in hub.stderr()
    assert second not in hub.stderr()


async def test_streams_and_polls_of_a_removed_endpoint_end(hub: Hub) -> None:
    await reload(hub, CHAT + OTHER)
    url = f"{hub.url}/other"
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        poll = group.create_task(get(url, _since="now", _wait="60"))
        async with http.get(url, headers={"Accept": "text/event-stream"}) as stream:
            while b"_ready" not in await stream.content.readline():
                pass
            await reload(hub, CHAT)
            async with asyncio.timeout(DEADLINE_SECONDS):
                await stream.content.read()
        assert await poll == []


async def test_a_hub_asked_to_reload_before_it_is_ready_does_it_then(hub: Hub) -> None:
    assert await asyncio.to_thread(hub.stop) == 0
    before = len(said(hub, "reloaded"))
    hub.launch()
    await until(lambda: "projection_opened" in hub.stderr().rpartition('"serving"')[2])
    assert hub.process is not None
    os.kill(hub.process.pid, signal.SIGHUP)
    await until(lambda: len(said(hub, "reloaded")) > before)
    assert await asyncio.to_thread(hub.stop) == 0
