"""A client that is turned away gets the whole answer, and costs no descriptor for long."""

import socket
from collections.abc import Iterator

import msgspec
import pytest

from eventhub.gateway import turned_away
from eventhub.gateway.turned_away import ANSWER, TurnedAway
from tests.subscribing import eventually


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The hub's and the client's end of a connection."""
    ours, its = socket.socketpair()
    its.settimeout(10)
    yield ours, its
    its.close()
    ours.close()


async def test_the_answer_arrives_and_then_the_connection_is_closed(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turned_away, "SECONDS", 0.05)
    ours, its = pair
    its.sendall(b"GET / HTTP/1.1\r\n\r\n")
    leaving = TurnedAway()
    leaving.answer(ours)
    assert its.recv(10_000) == ANSWER
    assert its.recv(1) == b""
    await eventually(lambda: len(leaving) == 0)
    assert ours.fileno() == -1


async def test_only_some_are_answered_at_once_and_the_end_closes_them(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turned_away, "MOST", 1)
    leaving = TurnedAway()
    first, other = socket.socketpair()
    with first, other:
        leaving.answer(first)
        leaving.answer(pair[0])
        assert pair[1].recv(10) == b""
        leaving.close()
        assert first.fileno() == -1
        assert len(leaving) == 0


def test_the_answer_is_complete_http() -> None:
    head, _, body = ANSWER.partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head
    error = msgspec.json.decode(body)["_error"]
    assert (error["code"], error["retry_after"]) == ("too_many_connections", 5)
    assert b"Retry-After: 5" in head
