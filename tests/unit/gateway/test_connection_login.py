"""A connection goes on with another token of its user, and with nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eventhub.config import ColumnRule, Rules
from eventhub.errors import Close
from tests.subscribing import append, eventually
from tests.tokens import AUTH, subprotocols, token_of
from tests.unit.gateway.serving import V1, Client, Running, connected, running

ROLES = {"POST": {"text": "handler.current_user and handler.current_user.role"}}
"""Each message has the role of its sender."""
BY_TEAM: dict[str, Any] = {"open": "args.update(text=[handler.current_user.team])", "auth": True}


@asynccontextmanager
async def opened(
    folder: Path, headers: bytes, **endpoint: Any
) -> AsyncIterator[tuple[Running, Client]]:
    """Open a WebSocket, and read past the replay."""
    async with running(folder, users=AUTH, **endpoint) as hub, connected(hub.port) as client:
        await client.upgrade(headers)
        assert "_ready" in await client.json()
        yield hub, client


def ann(role: str = "reader", **claims: Any) -> str:
    return token_of("ann", role=role, **claims)


async def until(client: Client, *keys: str) -> Any:
    """Return the next frame that has one of some keys."""
    while True:
        frame = await client.json()
        if any(key in frame for key in keys):
            return frame


async def test_what_is_sent_after_a_token_is_written_by_its_login(tmp_path: Path) -> None:
    headers = subprotocols(ann())
    async with opened(tmp_path, headers, auth=True, message_default=ROLES) as (hub, client):
        client.send({})
        client.send({"_auth": ann("editor"), "_ref": 1})
        client.send([{}, {}])
        assert (await until(client, "_auth"))["ref"] == 1
        await eventually(lambda: len(hub.rows()) == 3)
        assert [row["text"] for row in hub.rows()] == ["reader", "editor", "editor"]
        assert {row["user"] for row in hub.rows()} == {"ann"}


async def test_the_answer_says_when_the_new_login_ends(tmp_path: Path) -> None:
    async with opened(tmp_path, subprotocols(ann(seconds=60)), auth=True) as (_, client):
        client.send({"_auth": ann(seconds=900)})
        answer = await client.json()
        assert answer["_auth"] == "renewed"
        assert "ref" not in answer
        ends = datetime.fromisoformat(answer["expires"]) - datetime.now(UTC)
        assert timedelta(seconds=850) < ends <= timedelta(seconds=900)


async def test_a_renewed_login_does_not_end_when_the_one_before_would(tmp_path: Path) -> None:
    async with running(tmp_path, users=AUTH, auth=True) as hub, connected(hub.port) as client:
        await client.upgrade(subprotocols(ann(seconds=2)))
        first = await until(client, "_auth")  # less than 30 s are left
        client.send({"_auth": ann(seconds=4)})
        answers = [await until(client, "_auth", "_error") for _ in range(3)]
        assert [frame.get("_auth") for frame in answers] == ["renewed", "expiring", None]
        assert first["_auth"] == "expiring"
        assert first["expires"] < answers[0]["expires"] == answers[1]["expires"]
        assert answers[2]["_error"]["code"] == "unauthorized"
        assert await client.close_code() == Close.EXPIRED
        assert datetime.now(UTC) >= datetime.fromisoformat(answers[1]["expires"])


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"_auth": token_of("bob")}, "unauthorized"),
        ({"_auth": ann(exp=1)}, "unauthorized"),
        ({"_auth": "a.b.c"}, "unauthorized"),
        ({"_auth": "x" * 20_000}, "bad_control"),
        ({"_auth": None}, "bad_control"),
        ({"_auth": ann(), "text": "and more"}, "bad_control"),
        ([{"_auth": ann()}, {"text": "good"}], "bad_control"),
    ],
)
async def test_a_token_that_is_not_accepted_changes_nothing(
    tmp_path: Path, message: Any, code: str
) -> None:
    headers = subprotocols(ann())
    async with opened(tmp_path, headers, auth=True, message_default=ROLES) as (hub, client):
        client.send({**message, "_ref": "a"} if isinstance(message, dict) else message)
        error = (await until(client, "_error"))["_error"]
        assert error["code"] == code
        assert isinstance(message, list) or error["ref"] == "a"
        client.send({"_ref": "b"})
        assert (await until(client, "_ack"))["_ack"] == "b"
        assert {(row["user"], row["text"]) for row in hub.rows()} == {("ann", "reader")}


@pytest.mark.parametrize("unknown", [None, "ignore"])
async def test_a_token_elsewhere_is_refused_and_nothing_is_stored(
    tmp_path: Path, unknown: str | None
) -> None:
    async with running(tmp_path, users=AUTH, unknown=unknown) as hub:
        async with connected(hub.port) as bare:
            await bare.upgrade()
            bare.send({"_auth": ann()})
            assert (await bare.json())["_error"]["code"] == "bad_control"
        async with hub.http.post(hub.url, json={"_auth": ann()}) as answer:
            assert (await answer.json())["_error"]["column"] == "_auth"
        assert hub.rows() == []


async def test_a_login_that_sees_something_else_has_to_connect_again(tmp_path: Path) -> None:
    async with running(tmp_path, users=AUTH, **BY_TEAM) as hub, connected(hub.port) as client:
        await append(hub.stream, _method="POST", id="a", text="sales")
        await client.upgrade(subprotocols(ann(team="sales")))
        assert (await client.json())["text"] == "sales"
        assert "_ready" in await client.json()
        client.send({"_auth": ann(team="sales", role="editor")})
        assert (await client.json())["_auth"] == "renewed"
        client.send({"_auth": ann(team="help"), "_ref": 1})
        client.send({"text": "help"})
        error = (await client.json())["_error"]
        assert (error["code"], error["ref"]) == ("unauthorized", 1)
        assert "from the beginning" in error["message"]
        assert await client.close_code() == Close.CHANGED
        assert len(hub.rows()) == 1


async def test_rules_of_rows_and_endpoint_are_asked_again(tmp_path: Path) -> None:
    rules = {
        "rules": {"read": "text=$user.team", "create": "handler.current_user.role == 'editor'"},
        "auth": {"condition": "handler.current_user.role != 'guest'"},
    }
    headers = subprotocols(ann(team="sales"))
    async with opened(tmp_path, headers, **entry_of(rules)) as (hub, client):
        client.send({"text": "sales", "_ref": 1})
        assert (await until(client, "_error"))["_error"]["code"] == "forbidden"
        client.send({"_auth": ann("editor", team="sales")})
        client.send({"text": "sales", "_ref": 2})
        assert (await until(client, "_ack"))["_ack"] == 2
        client.send({"_auth": ann("guest", team="sales")})
        assert (await until(client, "_error"))["_error"]["code"] == "forbidden"
        assert await client.close_code() == Close.FORBIDDEN
        assert len(hub.rows()) == 1


async def test_a_client_without_a_login_becomes_the_user_of_its_token(tmp_path: Path) -> None:
    async with opened(tmp_path, V1, message_default=ROLES) as (hub, client):
        client.send({})
        client.send({"_auth": ann()})
        client.send({})
        client.send({"_auth": token_of("bob")})
        assert (await until(client, "_auth"))["_auth"] == "accepted"
        assert (await until(client, "_error"))["_error"]["code"] == "unauthorized"
        await eventually(lambda: len(hub.rows()) == 2)
        assert [row["user"] for row in hub.rows()] == [None, "ann"]


async def test_where_a_first_login_sees_more_it_belongs_in_the_handshake(tmp_path: Path) -> None:
    rules = entry_of({"rules": {"read": "text=$user.team"}})
    async with opened(tmp_path, V1, **rules) as (_, client):
        client.send({"_auth": ann(team="sales")})
        assert "in the handshake" in (await client.json())["_error"]["message"]
        assert await client.close_code() == Close.BAD_REQUEST  # it would come back without a login


async def test_a_hub_without_tokens_refuses_them(tmp_path: Path) -> None:
    async with running(tmp_path) as hub, connected(hub.port) as client:
        await client.upgrade(V1)
        assert "_ready" in await client.json()
        client.send({"_auth": ann()})
        assert (await client.json())["_error"]["code"] == "unauthorized"


async def test_a_client_is_paused_for_a_flood_of_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventhub.gateway.dispatcher.RENEWAL_SECONDS", 10.0)
    async with opened(tmp_path, subprotocols(ann()), auth=True) as (hub, client):
        client.send({"_auth": ann()})
        client.send({"text": "waits"})
        assert (await client.json())["_auth"] == "renewed"
        async with connected(hub.port) as other:
            await other.upgrade(subprotocols(ann()))
            assert "_ready" in await other.json()
            other.send({"text": "goes first", "_ref": 1})
            assert (await until(other, "_ack"))["_ack"] == 1
        assert [row["text"] for row in hub.rows()] == ["goes first"]


def entry_of(keys: dict[str, Any]) -> dict[str, Any]:
    """Return keys of an endpoint, with its rules as the file's reader makes them."""
    return {**keys, "rules": Rules(**keys["rules"])}


async def test_a_login_that_sees_another_column_has_to_connect_again(tmp_path: Path) -> None:
    columns = {"votes": ColumnRule(read="handler.current_user.role == 'editor'")}
    rules = {"auth": True, "rules": Rules(columns=columns)}
    async with opened(tmp_path, subprotocols(ann()), **rules) as (_, client):
        client.send({"_auth": ann()})
        assert (await client.json())["_auth"] == "renewed"
        client.send({"_auth": ann("editor")})
        assert "_error" in await client.json()
        assert await client.close_code() == Close.CHANGED
