"""A connection that says nothing costs a descriptor; one that speaks is handed on as it is."""

import socket
from collections.abc import AsyncIterator

import pytest

from eventhub.gateway import newcomers
from eventhub.gateway.newcomers import Newcomers
from eventhub.gateway.silent import SPEAKING_AT_ONCE, SilentConnections
from tests.subscribing import eventually


class Door:
    """Silent connections, and what became of them."""

    def __init__(self) -> None:
        self.newcomers = Newcomers()
        self.silent = SilentConnections(self.newcomers, self._on_first_byte, self._on_closed)
        self.speaking: list[tuple[socket.socket, str]] = []
        self.closed: list[str] = []

    def _on_first_byte(self, connection: socket.socket, address: str) -> None:
        self.speaking.append((connection, address))

    def _on_closed(self, address: str) -> None:
        self.closed.append(address)

    def connect(self, address: str) -> socket.socket:
        """Return the client's end of a connection."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.settimeout(5)
        self.silent.add(ours, address)
        return theirs


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    made = Door()
    yield made
    made.silent.close()
    for connection, _ in made.speaking:
        connection.close()


async def test_those_that_speak_are_handed_on_with_all_that_they_sent(door: Door) -> None:
    clients = [door.connect(f"a{n}") for n in range(2 * SPEAKING_AT_ONCE + 1)]
    for client in clients[1:]:
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)  # it may still get an answer
    await eventually(lambda: len(door.speaking) == len(clients) - 1)
    assert {address for _, address in door.speaking} == {f"a{n}" for n in range(1, len(clients))}
    assert {connection.recv(100) for connection, _ in door.speaking} == {b"hello"}
    assert not door.closed
    for client in clients:
        client.close()
    await eventually(lambda: door.closed == ["a0"])


async def test_those_that_stay_silent_are_closed(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = door.connect("late")
    door.newcomers.close_late(1)
    assert not door.closed
    monkeypatch.setattr(newcomers, "FIRST_BYTE_SECONDS", 0.0)
    door.newcomers.close_late(1)
    assert door.closed == ["late"]
    assert client.recv(1) == b""
    client.close()


async def test_at_the_end_all_are_closed_and_counted(door: Door) -> None:
    client = door.connect("last")
    for _ in range(2):
        door.silent.close()
    assert door.closed == ["last"]
    assert client.recv(1) == b""
    client.close()
