"""Requests outlive a lost connection; only what was under way may be lost."""

import asyncio

import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.errors import Misconfigured, Unavailable
from eventhub.jetstream import connection as module
from eventhub.jetstream.connection import Connection
from tests.faults.proxy import Proxy
from tests.integration.jetstream.listener import Listener
from tests.integration.jetstream.writes import until


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


async def test_after_its_server_froze_a_connection_tries_the_others_first(
    broker: EmbeddedBroker, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen server takes a connection and is silent, so trying it again costs two seconds."""
    monkeypatch.setattr(module, "PING_OF_SEVERAL_SECONDS", 0.05)
    async with Proxy(int(broker.url.rpartition(":")[2])).running() as other:
        servers = [proxy.url, other.url]
        async with Connection.open(servers=servers, token=broker.token) as connection:
            own, next_one = (proxy, other) if proxy.accepted else (other, proxy)
            for _ in range(8):  # by chance a shuffled list would have the other one first, too
                await _freeze(own, next_one)
                await connection.request("$JS.API.INFO")
                own.is_swallowing = False
                own, next_one = next_one, own


async def _freeze(server: Proxy, other: Proxy) -> None:
    tried, others = server.accepted, other.accepted
    server.is_swallowing = True
    await until(lambda: other.accepted > others)
    assert server.accepted == tried


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


# nats-py leaves the transport of a refused attempt to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_server_that_refuses_the_token_from_now_on_is_not_asked_again_at_once(
    far: Connection, proxy: Proxy
) -> None:
    far._client.options["token"] = "the one before"
    before, began = proxy.accepted, asyncio.get_running_loop().time()
    proxy.abort()
    await until(lambda: proxy.accepted == before + 2)
    assert asyncio.get_running_loop().time() - began >= module.REFUSED_SECONDS


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
