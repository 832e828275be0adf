"""Small writes measured: the hub's CPU for one message at a time, each after a pause.

The limit is a bare aiohttp handler (`bare_handler`), which gets the same messages in the same
moments. Another one also stores each message: what it costs above the first is the price of
durability, which no hub can save. As a child (see `child`), this module is the client of all.

Without the pauses, a message would find everything in the processor's cache that the one before it
needed; a message of a client that writes now and then does not.
"""

import json
import socket
import statistics
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.bench.child import Child, answer, setup
from tests.bench.dialects import MESSAGE_BYTES, V1, body_of
from tests.bench.figures import Figure, Limit
from tests.bench.machine import own_cpu_seconds
from tests.bench.servers import bare_handler, fresh_hub
from tests.bench.wire import connect, masked, read

RATE = 50.0
"""Messages a second."""
MESSAGES = 100
"""In one round."""
ROUNDS = 7
WAYS = (("HTTP", 2.5), ("WebSocket", 3.0))
"""How a message is sent; the most that it may cost, as a multiple of the bare handler's CPU."""
ERROR = b'"_error"'


def small(scale: float) -> Iterator[Figure]:
    """CPU of a message over a connection that stays open; that of the broker does not count."""
    for way, mark in WAYS:
        ours, least, durable = costs_of(way, messages=int(MESSAGES * scale))
        yield Figure(
            what=f"CPU of one small message at a time, over {way}",
            value=1e6 * ours,
            unit="µs",
            mark=mark,
            is_ceiling=True,
            of_limit=True,
            limit=Limit(name="bare aiohttp handler, µs", value=1e6 * least),
            more=f"{RATE:.0f} a second; the broker's CPU does not count",
        )
        yield Figure(
            what=f"the same of a bare handler that stores the message, over {way}",
            value=1e6 * durable,
            unit="µs",
            limit=Limit(name="bare aiohttp handler, µs", value=1e6 * least),
            more=f"the hub's CPU is {ours / durable:.2f} times this",
        )


def costs_of(way: str, *, messages: int) -> list[float]:
    """Return the CPU seconds of a message: the median rounds of three servers.

    They are the hub, the bare handler, and the bare handler that stores.
    """
    with (
        fresh_hub() as hub,
        bare_handler() as bare,
        bare_handler(stores=True) as durable,
        Child("small", way=way, urls=[hub.url, bare.url, durable.url]) as client,
    ):
        client.ask(messages=messages)  # warm-up
        costs: list[tuple[float, ...]] = []
        for _ in range(ROUNDS):
            before = [own_cpu_seconds(server.pid) for server in (hub, bare, durable)]
            client.ask(messages=messages)
            after = [own_cpu_seconds(server.pid) for server in (hub, bare, durable)]
            costs.append(tuple((b - a) / messages for a, b in zip(before, after, strict=True)))
    return [statistics.median(each) for each in zip(*costs, strict=True)]


class Client:
    """One client of each server, which sends its next message when the last is answered."""

    def __init__(self, *, way: str, urls: list[str]) -> None:
        message = json.dumps({"body": body_of(MESSAGE_BYTES), "_ref": 1}).encode()
        self._mark = b'"_seq"'
        self._ways = [self._request(url, message) for url in urls]
        if way == "WebSocket":
            self._mark = b'"_ack"'
            self._ways = [
                (connect(f"{url}?_since=now&id=nobody", subprotocol=V1), masked(message))
                for url in urls
            ]

    def __call__(self, *, messages: int) -> dict[str, Any]:
        """Send messages at a steady rate, to each server."""
        began = time.perf_counter()
        for number in range(messages):
            time.sleep(max(0.0, began + number / RATE - time.perf_counter()))
            for connection, message in self._ways:
                connection.sendall(message)
                self._await_answer(connection)
        return {}

    def _await_answer(self, connection: socket.socket) -> None:
        heard = b""
        while self._mark not in heard:
            heard += read(connection)
            if ERROR in heard:
                raise ConnectionError(f"refused: {heard[:500]!r}")

    def _request(self, url: str, message: bytes) -> tuple[socket.socket, bytes]:
        parts = urlsplit(url)
        assert parts.hostname is not None
        connection = socket.create_connection((parts.hostname, parts.port or 80))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(message)}\r\n\r\n"
        )
        return connection, head.encode() + message


if __name__ == "__main__":
    answer(Client(**setup()))
