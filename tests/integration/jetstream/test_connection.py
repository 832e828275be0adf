"""Subscriptions and requests outlive a lost connection; only what was under way may be lost."""

import asyncio

import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.errors import Misconfigured, Unavailable
from eventhub.jetstream import connection as module
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.parser import Message
from tests.faults.proxy import Proxy
from tests.integration.jetstream.writes import until


class Listener:
    """What a subscription was handed."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.reconnects = 0

    def on_messages(self, messages: list[Message]) -> None:
        self.bodies += [message.data for message in messages]

    def on_reconnect(self) -> None:
        self.reconnects += 1


async def test_a_subscription_goes_on_after_a_lost_connection_and_says_so(
    connection: Connection, far: Connection, proxy: Proxy
) -> None:
    listener = Listener()
    await far.subscribe("A.*", listener.on_messages, listener.on_reconnect)
    await far.request("$JS.API.INFO")  # behind the subscription, in order
    await connection.publish("A.1", b"before")
    await until(lambda: listener.bodies)
    proxy.abort()
    await until(lambda: listener.reconnects)
    await far.request("$JS.API.INFO")
    await connection.publish("A.2", b"after")
    await until(lambda: len(listener.bodies) == 2)
    assert (listener.bodies, listener.reconnects) == ([b"before", b"after"], 1)


async def test_a_drained_subscription_has_everything_that_was_sent_to_it(
    connection: Connection,
) -> None:
    listener = Listener()
    subscription = await connection.subscribe("A", listener.on_messages, listener.on_reconnect)
    for number in range(100):
        await connection.publish("A", b"%d" % number)
    await connection.unsubscribe(subscription, drain=True)
    assert listener.bodies == [b"%d" % number for number in range(100)]
    await connection.publish("A", b"too late")
    await connection.request("$JS.API.INFO")
    assert len(listener.bodies) == 100


async def test_a_request_waits_for_the_connection_to_come_back(
    far: Connection, proxy: Proxy
) -> None:
    proxy.abort()
    assert (await far.request("$JS.API.INFO")).data


async def test_a_client_that_gave_up_for_good_is_replaced_with_its_subscriptions(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.05)
    listener = Listener()
    await connection.subscribe("A", listener.on_messages, listener.on_reconnect)
    await connection._client.close()
    await until(lambda: listener.reconnects)
    await connection.publish("A", b"hello")
    await until(lambda: listener.bodies)
    assert listener.bodies == [b"hello"]


async def test_sending_without_a_connection_says_that_nothing_was_sent(
    far: Connection, proxy: Proxy
) -> None:
    proxy.is_swallowing = True
    proxy.abort()
    await until(lambda: not far.up.is_set())
    with pytest.raises(Unavailable, match="cannot be reached"):
        far.send(b"PUB A 1\r\nx\r\n")
    with pytest.raises(Unavailable, match="cannot be reached"):
        await far.publish("A", b"x")


async def test_what_is_sent_goes_behind_what_waits(connection: Connection) -> None:
    listener = Listener()
    await connection.subscribe("A", listener.on_messages, listener.on_reconnect)
    await connection.publish("A", b"1")
    connection.send(b"PUB A 1\r\n2\r\n")
    await connection.publish("A", b"3")
    await until(lambda: len(listener.bodies) == 3)
    assert listener.bodies == [b"1", b"2", b"3"]


async def test_a_wrong_token_and_a_missing_server_are_two_different_errors(
    broker: EmbeddedBroker,
) -> None:
    with pytest.raises(Misconfigured, match="refuses the credentials"):
        async with Connection.open(servers=broker.url, token="wrong"):
            pass
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
    with pytest.raises(Unavailable, match="no NATS server answers"):
        async with Connection.open(servers=f"nats://127.0.0.1:{port}"):
            pass
