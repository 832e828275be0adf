"""Crowd: thousands of connections that only open, only send garbage, or never read.

A child (see `child`): `role` says which side. A connection that the hub closes is opened again, at
a bounded rate, from the next of many addresses: as somebody with as many machines would do it.
"""

import os
import select
import socket
import time
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from tests.bench.child import answer, setup
from tests.bench.flooding import http
from tests.bench.load import quantiles, raise_open_files_limit
from tests.bench.wire import connect, masked, upgrade

OPENED_A_SECOND = 1500
"""By the whole crowd, first and again."""
GARBAGE_SECONDS = 2.0
"""Between two pieces of garbage of one connection."""
GARBAGE_BYTES = 64
RECEIVE_BYTES = 4096
"""Of the kernel's buffer of a connection that never reads."""
V1 = "eventhub.v1.json"
TICK_SECONDS = 0.02


class Crowd:
    """Strangers: clients without a login.

    Args:
        url: of the hub.
        kind: `open`, `garbage` or `never read`.
        count: connections at a time.
        addresses: from which they come, in turns.
    """

    def __init__(self, *, url: str, kind: str, count: int, addresses: int) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname, parts.port)
        self._kind = kind
        self._count = count
        self._addresses = [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(addresses)]
        self._poll = select.epoll()
        self._all: dict[int, socket.socket] = {}
        self._due: deque[tuple[float, int]] = deque()
        self._first = upgrade("/bench", parts.netloc) if kind == "never read" else b""
        self.opened = self.refused = 0

    def __call__(self, *, seconds: float) -> dict[str, Any]:
        """Be there for so long; return what came of it."""
        ends = time.monotonic() + seconds
        allowed, last = 0.0, time.monotonic()
        while (now := time.monotonic()) < ends:
            allowed = min(allowed + (now - last) * OPENED_A_SECOND, OPENED_A_SECOND / 4)
            last = now
            while allowed >= 1 and len(self._all) < self._count:
                allowed -= 1
                self._open()
            for descriptor, events in self._poll.poll(TICK_SECONDS, 1000):
                self._on_events(descriptor, events)
            self._send_garbage(now)
        return {"held": len(self._all), "opened": self.opened, "closed by the hub": self.refused}

    def _open(self) -> None:
        one = socket.socket()
        one.setblocking(False)
        if self._kind == "never read":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        address = self._addresses[self.opened % len(self._addresses)]
        one.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: ports of each address
        one.bind((address, 0))
        one.connect_ex(self._to)
        self.opened += 1
        self._all[one.fileno()] = one
        self._poll.register(one.fileno(), select.EPOLLOUT | select.EPOLLRDHUP)

    def _on_events(self, descriptor: int, events: int) -> None:
        one = self._all[descriptor]
        if events & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP):
            self._close(descriptor)
        elif events & select.EPOLLOUT:  # connected
            self._poll.modify(descriptor, select.EPOLLRDHUP)
            try:
                if self._first:
                    one.send(self._first)
                elif self._kind == "garbage":
                    self._garbage(descriptor)
            except OSError:
                self._close(descriptor)

    def _garbage(self, descriptor: int) -> None:
        self._all[descriptor].send(os.urandom(GARBAGE_BYTES))
        self._due.append((time.monotonic() + GARBAGE_SECONDS, descriptor))

    def _send_garbage(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, descriptor = self._due.popleft()
            if descriptor in self._all:
                try:
                    self._garbage(descriptor)
                except BlockingIOError:
                    continue
                except OSError:
                    self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        self._all.pop(descriptor).close()
        self.refused += 1


class User:
    """Somebody with a login who writes, and who listens, on several hubs in turns.

    Args:
        urls: of the hubs.
        token: the login.
    """

    def __init__(self, *, urls: list[str], token: str) -> None:
        self._urls = urls
        self._login = f"Authorization: Bearer {token}\r\n"
        self._writers = [self._connected(url) for url in urls]
        self._listeners = [self._connected(url) for url in urls]
        self._number = 0

    def _connected(self, url: str) -> socket.socket:
        one = connect(f"{url}/private?_since=now", subprotocol=V1, headers=self._login)
        self._until(one, b'"_ready"')
        return one

    def __call__(self, *, seconds: float) -> dict[str, Any]:
        """Write for so long; return how long acknowledgements, deliveries and GETs took."""
        kinds = ("writes", "deliveries", "newcomers")
        taken: dict[str, list[list[float]]] = {each: [[] for _ in self._urls] for each in kinds}
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for at in range(len(self._urls)):
                self._number += 1
                began = time.perf_counter()
                message = b'{"body":"m%d.","_ref":"r%d."}' % (self._number, self._number)
                self._writers[at].sendall(masked(message))
                self._until(self._writers[at], b'"_ack":"r%d."' % self._number)
                taken["writes"][at].append(time.perf_counter() - began)
                self._until(self._listeners[at], b'"m%d."' % self._number)
                taken["deliveries"][at].append(time.perf_counter() - began)
                taken["newcomers"][at].append(self._got(self._urls[at]))
            time.sleep(0.01)
        return {name: [quantiles(each) for each in lists] for name, lists in taken.items()}

    def _got(self, url: str) -> float:
        """Ask over a new connection."""
        parts = urlsplit(url)
        began = time.perf_counter()
        with socket.create_connection((parts.hostname, parts.port), 10.0) as one:
            one.sendall(http("GET", "/private?_limit=1", self._login))
            while one.recv(1 << 16):
                pass
        return time.perf_counter() - began

    def _until(self, connection: socket.socket, mark: bytes) -> None:
        heard = b""
        while mark not in heard:
            piece = connection.recv(1 << 16)
            if not piece:
                raise ConnectionError("the user was disconnected")
            heard = heard[-64:] + piece


ROLES = {"crowd": Crowd, "user": User}

if __name__ == "__main__":
    raise_open_files_limit()
    chosen = setup()
    answer(ROLES[chosen.pop("role")](**chosen))
