"""A subscription is admitted, counted and renewed as a connection of its own."""

from pathlib import Path

from eventhub import metrics
from eventhub.config import Server
from tests.subscribing import eventually
from tests.tokens import AUTH, token_of
from tests.unit.gateway.serving import V2
from tests.unit.gateway.sharing import opened, subscribe, until

ORIGIN = b"Origin: https://evil.example\r\n"


async def test_each_subscription_is_admitted_as_a_connection_would_be(tmp_path: Path) -> None:
    async with opened(tmp_path, V2 + ORIGIN) as (_, client):
        subscribe(client, 1)
        assert (await client.json())["_error"]["code"] == "forbidden"
    async with opened(tmp_path, users=AUTH, auth=True) as (hub, client):
        subscribe(client, 1)
        assert (await client.json())["_error"]["code"] == "unauthorized"
        client.send({"_auth": token_of(), "_ref": 4})
        answer = await client.json()
        assert (answer["_auth"], answer["ref"]) == ("accepted", 4)
        subscribe(client, 1)
        await until(client, "_ready")
        client.send({"_sub": 1, "text": "x", "_ref": 5})
        await until(client, "_ack")
        assert hub.rows()[0]["user"] == "ann"


async def test_a_renewed_login_reaches_every_subscription(tmp_path: Path) -> None:
    """One that would see something else with it is ended, and the others go on."""
    own = "args.update(text=[handler.current_user.team]) if 'mine' in args else None"
    default = {"POST": {"text": "handler.current_user.role"}}
    async with opened(tmp_path, users=AUTH, message_default=default, open=own) as (hub, client):
        client.send({"_auth": token_of(team="red", role="reader")})
        subscribe(client, 1, "_c=id")
        subscribe(client, 2, "mine=1")
        await until(client, "_ready")
        await until(client, "_ready")
        client.send({"_auth": token_of(team="blue", role="editor")})
        ended, renewed = await client.json(), await client.json()
        assert (ended["_sub"], ended["_error"]["code"]) == (2, "changed")
        assert renewed["_auth"] == "renewed"
        client.send({"_sub": 1})
        await eventually(hub.rows)
        assert hub.rows()[0]["text"] == "editor"
        assert (await client.json())["_sub"] == 1
        client.send({"_auth": token_of("bob")})
        assert (await client.json())["_error"]["code"] == "unauthorized"


async def test_subscriptions_count_as_connections_of_their_user(tmp_path: Path) -> None:
    server = Server(host="127.0.0.1", port=0, max_connections_per_user=2)
    gauge = metrics.CONNECTIONS.labels("chat", "v2")
    before = gauge._value.get()
    async with opened(tmp_path, users=AUTH, server=server) as (_, client):
        client.send({"_auth": token_of()})
        assert "_auth" in await client.json()
        subscribe(client, 1)
        await until(client, "_ready")
        assert gauge._value.get() == before + 1
        subscribe(client, 2)
        refused = await client.json()
        assert (refused["_sub"], refused["_error"]["code"]) == (2, "too_many_connections")
        client.send({"_unsubscribe": 1})
        assert "_end" in await client.json()
        subscribe(client, 2)
        await until(client, "_ready")
    await eventually(lambda: gauge._value.get() == before)


async def test_who_is_connected_and_what_is_not_stored_comes_to_the_subscription(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, presence=True, send=True) as (_, client):
        subscribe(client, 1, "_presence")
        subscribe(client, 2)
        frames = await until(client, "_ready") + await until(client, "_ready")
        assert {each["_sub"] for each in frames if "_presence" in each} == {1}
        client.send({"_sub": 2, "_method": "SEND", "text": "typing"})
        sent = {(await until(client, "_sent"))[-1]["_sub"] for _ in range(2)}
        assert sent == {1, 2}
