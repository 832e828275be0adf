"""Calls are limited, counted once, and cut off by their peer."""

import socket

import pytest

from eventhub.errors import Unavailable
from projections.flight.calls import (
    MOST,
    MOST_OF_ADDRESS,
    Calls,
    address_of,
    close_connection,
)


def test_calls_are_limited_for_an_address_and_in_all() -> None:
    calls = Calls(60)
    held = [calls.begin(f"ipv4:192.0.2.1:{port}") for port in range(MOST_OF_ADDRESS)]
    with pytest.raises(Unavailable) as refused:
        calls.begin("ipv4:192.0.2.1:9999")
    assert refused.value.code == "busy"
    held += [calls.begin("ipv6:%5B::1%5D:1") for _ in range(MOST - MOST_OF_ADDRESS)]
    with pytest.raises(Unavailable):
        calls.begin("ipv4:192.0.2.2:1")
    for _ in range(2):  # the second end of a call counts nothing
        calls.end(held[0])
    with calls.one("ipv4:192.0.2.1:1"), pytest.raises(Unavailable):
        calls.begin("ipv4:192.0.2.2:1")
    for call in held[1:]:
        calls.end(call)
    assert [calls.begin("ipv4:192.0.2.1:1") for _ in range(MOST_OF_ADDRESS)]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:5000", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:5000", "2001:db8::1"),
        ("ipv6:[::1]:5000", "::1"),
        ("unix:", "unix:"),
    ],
)
def test_the_address_of_a_peer_is_read(peer: str, address: str) -> None:
    assert address_of(peer) == address


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_only_the_connection_of_a_peer_is_closed(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        address = server.getsockname()[:2]
        with (
            socket.create_connection(address, 5) as one,
            socket.create_connection(address, 5) as two,
        ):
            first, second = server.accept()[0], server.accept()[0]
            with first, second:
                port = one.getsockname()[1]
                close_connection(
                    f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"
                )
                assert one.recv(1) == b""
                second.sendall(b"x")
                assert two.recv(1) == b"x"
