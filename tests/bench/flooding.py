"""Flooding: clients that ask for more than their share, and a bystander who wants little.

A child (see `child`): `role` says which. Floods are bounded in time and bytes, and go to loopback.
"""

import gzip
import json
import select
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.bench.child import answer, setup
from tests.bench.load import quantiles, raise_open_files_limit
from tests.bench.wire import connect, masked

BYTES_A_SECOND = 1_200_000
"""That a flood of frames sends, from all its sockets."""
PACE_SECONDS = 0.005
PATIENCE_SECONDS = 10.0
V1 = "eventhub.v1.json"


def pushed(
    connections: list[socket.socket], payload: bytes, seconds: float, *, reads: bool = True
) -> int:
    """Send a payload again and again over some connections, at a pace; return the bytes sent."""
    ends = time.monotonic() + seconds
    left = dict.fromkeys(connections, b"")
    for each in connections:
        each.setblocking(False)
    sent = 0
    quota = int(BYTES_A_SECOND * PACE_SECONDS / len(connections))
    while time.monotonic() < ends and left:
        readable, writable, _ = select.select(left, left, [], 0.1)
        if reads:
            for each in readable:
                with suppress(OSError):
                    each.recv(1 << 20)
        for each in writable:
            data = left[each] or payload * max(1, quota // len(payload))
            try:
                count = each.send(data)
            except BlockingIOError:
                continue
            except OSError:
                del left[each]
                continue
            left[each] = data[count:]
            sent += count
        time.sleep(PACE_SECONDS)
    return sent


def frames(
    path: str, payload: bytes, *, many: int = 2, first: bytes = b"", reads: bool = True
) -> Callable[[str, float], int]:
    """Return a flood of WebSocket frames."""

    def flood(url: str, seconds: float) -> int:
        opened = [connect(f"{url}{path}?_since=now&id=nobody") for _ in range(many)]
        for each in opened:
            each.sendall(first)
        return pushed(opened, payload, seconds, reads=reads)

    return flood


def requests(payload: bytes, *, many: int = 4, hangs_up: bool = False) -> Callable[..., int]:
    """Return a flood of requests, each over a connection of its own."""

    def flood(url: str, seconds: float) -> int:
        ends = time.monotonic() + seconds

        def ask(_: int) -> int:
            sent = 0
            while time.monotonic() < ends:
                with suppress(OSError), opened(url) as one:
                    one.sendall(payload)
                    sent += len(payload)
                    if hangs_up:
                        time.sleep(0.05)
                        continue
                    while one.recv(1 << 16):
                        pass
            return sent

        with ThreadPoolExecutor(many) as pool:
            return sum(pool.map(ask, range(many)))

    return flood


def held(many: int, said: bytes = b"") -> Callable[[str, float], int]:
    """Return a flood of connections that say something, and wait."""

    def flood(url: str, seconds: float) -> int:
        ends = time.monotonic() + seconds
        opened_: list[socket.socket] = []
        while len(opened_) < many and time.monotonic() < ends:
            with suppress(OSError):
                one = opened(url)
                one.sendall(said)
                opened_.append(one)
        time.sleep(max(0.0, ends - time.monotonic()))
        return len(opened_) * len(said)

    return flood


def never_reading(url: str, seconds: float) -> int:
    """Many subscribers that read nothing, and somebody who tells them much."""
    listeners = [connect(f"{url}/bench?_since=now") for _ in range(100)]
    frame = masked(json.dumps({"body": "x" * 100_000}).encode())
    sent = pushed([connect(f"{url}/bench?_since=now&id=nobody")], frame, seconds)
    for each in listeners:
        each.close()
    return sent


def wrong_passwords(url: str, seconds: float) -> int:
    """Attempts to log in, each as another user, so that none waits for the ones before it."""
    ends = time.monotonic() + seconds
    counted = count()

    def attempt(_: int) -> int:
        sent = 0
        while time.monotonic() < ends:
            body = json.dumps({"user": f"user{next(counted)}", "password": "wrong"}).encode()
            data = http("POST", "/login", "Content-Type: application/json\r\n", body)
            with suppress(OSError), opened(url) as one:
                one.sendall(data)
                sent += len(data)
                while one.recv(1 << 16):
                    pass
        return sent

    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(attempt, range(4)))


def opened(url: str) -> socket.socket:
    """Open a connection."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), PATIENCE_SECONDS)


def http(method: str, target: str, headers: str = "", body: bytes = b"") -> bytes:
    """Return a request."""
    return (
        f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
PARTS = b"".join(
    b'--b\r\nContent-Disposition: form-data; name="body"\r\n\r\nx\r\n' for _ in range(15_000)
)
LARGE = json.dumps({"body": "x" * 1_000_000}).encode()
FLOODS: dict[str, Callable[[str, float], int]] = {
    "bad JSON": frames("/bench", masked(b"{")),
    "pings": frames("/bench", masked(b"", 0x89)),
    "one-byte fragments": frames("/bench", masked(b"x", 0x00), first=masked(b"[", 0x01)),
    "refused messages": frames("/bench", masked(b'{"id":[1]}')),
    "answers not read": frames("/bench", masked(b'{"id":[1]}'), reads=False),
    "refused connections": requests(http("GET", "/private", UPGRADE), many=8, hangs_up=True),
    "refused requests": requests(http("GET", "/private")),
    "arrays to a failing hook": frames("/failing", masked(b"[" + b"{}," * 5_000 + b"{}]")),
    "messages of 1 MB": frames("/bench", masked(LARGE)),
    "100 that never read": never_reading,
    "2,000 silent connections": held(2000),
    "2,000 halves of a head": held(2000, b"GET /bench HTTP/1.1\r\nHost: x\r\n"),
    "100 that post an id that exists": frames("/bench", masked(b'{"id":"row0"}'), many=100),
    "gzip bodies": requests(
        http("POST", "/bench", "Content-Encoding: gzip\r\n", gzip.compress(b" " * 20_000_000))
    ),
    "multipart bodies": requests(
        http("POST", "/bench", "Content-Type: multipart/form-data; boundary=b\r\n", PARTS)
    ),
    "dear filters": requests(
        http("GET", "/bench?" + "&".join(f"body*=x{n}" for n in range(400))), hangs_up=True
    ),
    "whole tables": requests(http("GET", "/bench"), many=10),
    "tables as CSV": requests(http("GET", "/bench?_format=csv"), many=10),
    "tables as Parquet": requests(http("GET", "/bench?_format=parquet"), many=10),
    "queries in SQL": requests(
        http("GET", f"/sql?{urlencode({'sql': 'SELECT sum(hash(body || id)) AS s FROM bench'})}")
    ),
    "wrong passwords": wrong_passwords,
    "POSTs of 1 MB": requests(
        http("POST", "/bench", "Content-Type: application/json\r\n", LARGE), many=2
    ),
}


class Flood:
    """One flood."""

    def __init__(self, *, url: str, name: str) -> None:
        self._url = url
        self._flood = FLOODS[name]

    def __call__(self, *, seconds: float) -> dict[str, Any]:
        """Flood for so long."""
        return {"bytes": self._flood(self._url, seconds)}


class Bystander:
    """Somebody who writes a little and reads a little, of several hubs in turns."""

    def __init__(self, *, urls: list[str]) -> None:
        self._urls = urls
        self._sockets = [
            connect(f"{url}/bench?_since=now&id=nobody", subprotocol=V1) for url in urls
        ]

    def __call__(self, *, seconds: float) -> dict[str, Any]:
        """Ask for so long; return how long each hub took."""
        writes: list[list[float]] = [[] for _ in self._urls]
        reads: list[list[float]] = [[] for _ in self._urls]
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for at, url in enumerate(self._urls):
                writes[at].append(self._written(self._sockets[at]))
                reads[at].append(self._read(url))
            time.sleep(0.01)
        return {
            "writes": [quantiles(each) for each in writes],
            "reads": [quantiles(each) for each in reads],
        }

    def _written(self, connection: socket.socket) -> float:
        began = time.perf_counter()
        connection.sendall(masked(b'{"body":"small","_ref":1}'))
        heard = b""
        with suppress(TimeoutError):
            while b'"_ack"' not in heard:
                piece = connection.recv(1 << 16)
                if not piece:
                    raise ConnectionError("the bystander was closed")
                heard = heard[-10:] + piece
        return time.perf_counter() - began

    def _read(self, url: str) -> float:
        """A new connection each time: newcomers are bystanders too."""
        began = time.perf_counter()
        with suppress(OSError), opened(url) as one:
            one.sendall(http("GET", "/bench?id=row0"))
            while one.recv(1 << 16):
                pass
        return time.perf_counter() - began


ROLES: dict[str, Callable[..., Callable[..., dict[str, Any]]]] = {
    "flood": Flood,
    "bystander": Bystander,
}

if __name__ == "__main__":
    raise_open_files_limit()
    chosen = setup()
    answer(ROLES[chosen.pop("role")](**chosen))
