"""A subscription goes on at the next connection, and one that ends has what was sent to it."""

from eventhub.jetstream.connection import Connection
from tests.faults.proxy import Proxy
from tests.integration.jetstream.listener import Listener
from tests.integration.jetstream.writes import until


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
