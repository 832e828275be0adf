"""Subscriptions on one socket are as connections of their own, and none holds up another."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventhub.config import Server
from eventhub.errors import Close, Unavailable
from eventhub.gateway import shared_socket
from eventhub.gateway.shared_socket import SharedSocket
from tests.subscribing import append
from tests.tokens import AUTH, token_of
from tests.unit.gateway.serving import V2, connected
from tests.unit.gateway.sharing import PATH, close_code, opened, subscribe, until


async def test_each_subscription_has_its_rows_and_its_events(tmp_path: Path) -> None:
    async with opened(tmp_path) as (hub, client):
        await append(hub.stream, _method="POST", id="1", text="a")
        await append(hub.stream, _method="POST", id="2", text="b")
        subscribe(client, 1, "text=a&_c=id")
        subscribe(client, 7, "text=b&_c=id", since="earliest")
        epoch = hub.stream.epoch
        frames = await until(client, "_ready") + await until(client, "_ready")
        assert [each for each in frames if each["_sub"] == 1] == [
            {"_sub": 1, "_rows": [{"_seq": 1, "_created": 1, "id": "1"}]},
            {"_sub": 1, "_ready": {"position": f"{epoch}.2", "recovered": False}},
        ]
        assert [each for each in frames if each["_sub"] == 7] == [
            {"_sub": 7, "_resume": {"recovered": True, "reason": "earliest"}},
            {"_sub": 7, "_changes": [{"_method": "POST", "_seq": 2, "id": "2"}]},
            {"_sub": 7, "_ready": {"position": f"{epoch}.2", "recovered": True}},
        ]
        await append(hub.stream, _method="PUT", id="2", text="a")
        entered = {"_method": "POST", "_seq": 3, "_created": 2, "id": "2"}
        left = {"_method": "DELETE", "_seq": 3, "id": "2"}
        live = [await client.json(), await client.json()]
        assert {each["_sub"]: each["_changes"] for each in live} == {1: [entered], 7: [left]}


async def test_a_filter_may_be_longer_than_proxies_allow_in_urls(tmp_path: Path) -> None:
    async with opened(tmp_path) as (hub, client):
        await append(hub.stream, _method="POST", id="9", text="a")
        subscribe(client, 1, "&".join(f"id={number}" for number in range(5000)))
        assert [row["id"] for row in (await client.json())["_rows"]] == ["9"]


async def test_an_ended_subscription_sends_nothing_and_its_number_is_free(tmp_path: Path) -> None:
    async with opened(tmp_path) as (hub, client):
        subscribe(client, 1)
        subscribe(client, 2)
        await until(client, "_ready")
        await until(client, "_ready")
        client.send({"_unsubscribe": 1, "_ref": "r"})
        assert await client.json() == {"_sub": 1, "_end": True, "ref": "r"}
        await append(hub.stream, _method="POST", id="1", text="a")
        assert (await client.json())["_sub"] == 2
        subscribe(client, 1, "_c=id")
        assert await client.json() == {
            "_sub": 1,
            "_rows": [{"_seq": 1, "_created": 1, "id": "1"}],
        }
        client.send({"_unsubscribe": 5})
        assert {"_sub": 5, "_end": True} in await until(client, "_end")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"_subscribe": 2, "path": "/nothing"}, "unknown_path"),
        ({"_subscribe": 2, "path": "/-/socket"}, "unknown_path"),
        ({"_subscribe": 2, "path": "/healthz"}, "unknown_path"),
        ({"_subscribe": 2, "path": "/chat.csv"}, "unknown_path"),
        ({"_subscribe": 2, "path": "/chat/a/b"}, "unknown_path"),
        ({"_subscribe": 2, "path": "/chat", "query": "votes=x"}, "bad_filter"),
        ({"_subscribe": 2, "path": "/chat", "query": "_token=x"}, "bad_filter"),
        ({"_subscribe": 2, "path": "/chat", "query": "_wait=5"}, "bad_filter"),
        ({"_subscribe": 2, "path": "/chat", "since": "yesterday"}, "bad_position"),
        ({"_subscribe": 2, "path": "/chat", "since": 7}, "bad_position"),
        ({"_subscribe": 2, "path": "/chat?x=1"}, "bad_control"),
        ({"_subscribe": 2, "path": "//host/chat"}, "bad_control"),
        ({"_subscribe": 2, "path": "/chat", "query": "text=\u00e4"}, "bad_control"),
        ({"_subscribe": 2, "path": "/chat", "filter": "x"}, "bad_control"),
        ({"_subscribe": 2}, "bad_control"),
        ({"_subscribe": 2, "path": "/chat", "query": "a=" + "x" * (64 << 10)}, "url_too_long"),
        ({"_subscribe": 1, "path": "/chat"}, "bad_control"),
        ({"_subscribe": 0, "path": "/chat"}, "bad_control"),
        ({"_subscribe": 65, "path": "/chat"}, "bad_control"),
        ({"_subscribe": "2", "path": "/chat"}, "bad_control"),
        ({"_subscribe": True, "path": "/chat"}, "bad_control"),
        ({"_unsubscribe": "all"}, "bad_control"),
        ({"text": "of no subscription"}, "bad_control"),
        ({"_sub": 3, "text": "of no subscription"}, "bad_control"),
        ({"_sub": [1], "text": "of no subscription"}, "bad_control"),
        ([{"_sub": 1, "text": "x"}, {"_sub": 2, "text": "y"}], "bad_control"),
        ([{"_subscribe": 2, "path": "/chat"}, {"_sub": 1}], "bad_control"),
        ("text", "bad_control"),
        (b"{", "bad_json"),
    ],
)
async def test_a_mistake_ends_at_most_its_own_subscription(
    tmp_path: Path, asked: Any, code: str
) -> None:
    async with opened(tmp_path) as (hub, client):
        subscribe(client, 1)
        await until(client, "_ready")
        client.send({**asked, "_ref": 9} if isinstance(asked, dict) else asked)
        answer = await client.json()
        assert answer["_error"]["code"] == code
        is_of_two = isinstance(asked, dict) and asked.get("_subscribe") == 2
        assert answer.get("_sub") == (2 if is_of_two else None)
        assert not isinstance(asked, dict) or answer["_error"]["ref"] == 9
        client.send({"_sub": 1, "text": "still there", "_ref": 10})
        assert (await until(client, "_ack"))[-1]["_ack"] == 10
        assert len(hub.rows()) == 1


async def test_a_silence_is_one_frame_for_all_subscriptions_of_a_table(tmp_path: Path) -> None:
    server = Server(host="127.0.0.1", port=0, heartbeat=0.1)
    async with opened(tmp_path, server=server) as (hub, client):
        for number, text in [(1, "a"), (2, "b"), (3, "a")]:
            subscribe(client, number, f"text={text}")
        for _ in range(3):
            await until(client, "_ready")
        await append(hub.stream, _method="POST", id="1", text="c")
        position = f"{hub.stream.epoch}.1"
        ticks = {"_tick": {"1": position, "2": position, "3": position}}
        found: object = None
        while found != ticks:
            kind, payload = await client.frame()
            found = msgspec.json.decode(payload) if kind == 1 else None


# --- Who may


async def test_the_end_of_the_login_ends_the_socket(tmp_path: Path) -> None:
    async with opened(tmp_path, users=AUTH, auth=True) as (_, client):
        client.send({"_auth": token_of(seconds=2)})
        subscribe(client, 1)
        await until(client, "_ready")
        assert await close_code(client) == Close.EXPIRED


# --- Bounds


async def test_what_is_refused_gives_a_socket_without_a_subscription_no_more_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_socket, "IDLE_SECONDS", 0.5)
    async with opened(tmp_path) as (_, client), asyncio.timeout(20):
        kind, refused, payload = 1, 0, b""
        while kind != 8:
            client.send({"_subscribe": 1, "path": "/nothing"})
            kind, payload = await client.frame()
            refused += kind == 1
        assert int.from_bytes(payload[:2]) == Close.TRY_LATER
        assert refused > 1


async def test_no_tick_follows_the_end_of_its_subscription(tmp_path: Path) -> None:
    async with opened(tmp_path) as (hub, client):
        subscribe(client, 1)
        await until(client, "_ready")
        [socket] = hub.gateway._live.sessions
        assert isinstance(socket, SharedSocket)
        socket.tick(1, "epoch.1")
        socket.end(1, Unavailable("it ends"))
        subscribe(client, 1)
        assert not [frame for frame in await until(client, "_ready") if "_tick" in frame]


async def test_a_socket_without_a_subscription_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_socket, "IDLE_SECONDS", 0.2)
    async with opened(tmp_path) as (hub, client), connected(hub.port) as busy:
        await busy.upgrade(V2, path=PATH)
        subscribe(busy, 1)
        await until(busy, "_ready")
        assert (await client.json())["_error"]["code"] == "busy"
        assert await client.close_code() == Close.TRY_LATER
        await append(hub.stream, _method="POST", id="1", text="a")
        assert "_changes" in await busy.json()
        busy.send({"_unsubscribe": 1})
        assert "_end" in await busy.json()
        assert await close_code(busy) == Close.TRY_LATER


async def test_a_client_without_a_subscription_sends_no_large_frame(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, client):
        client.send(b'"' + b"x" * (100 << 10) + b'"')
        assert await client.close_code() == Close.TOO_LARGE


async def test_a_hub_that_stops_closes_the_socket(tmp_path: Path) -> None:
    async with opened(tmp_path) as (hub, client):
        subscribe(client, 1)
        await until(client, "_ready")
        hub.stop.set()
        assert await close_code(client) == Close.RESTART
