"""Connections are accepted as long as descriptors are left for everything else."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from eventhub.config import Server
from eventhub.gateway import listener as listener_module
from eventhub.gateway.listener import Listener, reserve_of
from eventhub.gateway.sockets import Sockets

DEADLINE_SECONDS = 40.0


class Accepted:
    """The connections that a listener accepted."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.addresses: list[str] = []
        self.listener = Listener(self)
        self.port = 0

    def __call__(self, connection: socket.socket, address: str) -> None:
        self.sockets.append(connection)
        self.addresses.append(address)

    async def connect(self) -> socket.socket:
        client = socket.socket()
        self.sockets.append(client)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", self.port))
        return client

    async def until(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(self.addresses) < count:
                await asyncio.sleep(0)


def open_on(listener: Listener, port: int) -> int:
    """Accept connections on a port of loopback; return the port."""
    sockets = Sockets.bound(Server(host="127.0.0.1", port=port))
    listener.open(sockets)
    return int(sockets.url.rpartition(":")[2])


@pytest.fixture
async def accepted() -> AsyncIterator[Accepted]:
    """What a listener on a free port of loopback accepts."""
    made = Accepted()
    made.port = open_on(made.listener, 0)
    yield made
    made.listener.close()
    for each in made.sockets:
        each.close()


async def test_a_connection_comes_with_its_address(accepted: Accepted) -> None:
    await accepted.connect()
    await accepted.until(1)
    assert accepted.addresses == ["127.0.0.1"]
    assert accepted.listener.wrong == []


async def test_near_the_limit_nothing_is_accepted_until_there_is_room(accepted: Accepted) -> None:
    lowest = os.dup(0)
    os.close(lowest)
    accepted.listener.most = lowest + 1  # the client takes the last one
    with capture_logs() as logs:
        await accepted.connect()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not accepted.listener.is_paused:
                await asyncio.sleep(0)
        assert "only the reserve is left" in accepted.listener.wrong[0]
        accepted.listener.resume()
        assert accepted.listener.is_paused  # there is no room yet
        accepted.listener.most += 1000
        accepted.listener.resume()
        await accepted.connect()
        await accepted.until(1)
    assert [each["event"] for each in logs] == ["door_shut", "door_open"]
    assert accepted.listener.wrong == []


async def test_after_close_nothing_is_accepted_and_the_port_is_free(accepted: Accepted) -> None:
    accepted.listener.close()
    accepted.listener.close()
    with pytest.raises(ConnectionRefusedError):
        await accepted.connect()
    again = Listener(accepted)
    assert open_on(again, accepted.port) == accepted.port
    again.close()


@pytest.mark.parametrize(("limit", "reserve"), [(64, 32), (1024, 128), (1 << 20, 256)])
def test_an_eighth_is_reserved_within_bounds(limit: int, reserve: int) -> None:
    assert reserve_of(limit) == reserve
    assert reserve > listener_module.ACCEPTED_AT_ONCE
