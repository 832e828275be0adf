"""Load: many clients in one process and one epoll loop, cheap enough not to be what is measured.

A child (see `child`): `role` says which clients it has. Every answer has the CPU seconds that this
process itself has used for it, so that one sees that it was not the bottleneck.
"""

import json
import resource
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.bench.child import answer, setup
from tests.bench.dialects import DIALECTS, V1, Dialect, body_of
from tests.bench.wire import (
    READ_BYTES,
    STAMP_BYTES,
    Marks,
    Stamps,
    connect,
    masked,
    read,
    stamp,
)

SILENCE_SECONDS = 20.0
"""A load that gets nothing for this long gives up, and says what it has."""
ERROR = b'"_error"'
GATHER_SECONDS = 0.001
"""Between two looks at many subscribers: woken for each, a load would need more than the server."""
SAMPLE_EVERY = 25
"""Subscribers for each that reads when a message was sent; the others throw away what comes."""
_DISCARDED = bytearray(1 << 20)

Take = Callable[[], object]
"""Reads what has come to one socket."""
Role = Callable[..., dict[str, Any]]
"""Clients of one kind, connected; called with each question, does a round and tells how it went."""


class Loop:
    """One epoll for all sockets of the process."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._takes: dict[int, Take] = {}

    def add(self, connection: socket.socket, take: Take) -> None:
        """Call `take` whenever something can be read."""
        connection.setblocking(False)
        self._takes[connection.fileno()] = take
        self._epoll.register(connection, select.EPOLLIN)

    def turn(self, seconds: float = SILENCE_SECONDS) -> bool:
        """Wait for something to read, and have it read; tell whether there was something."""
        ready = self._epoll.poll(seconds)
        for descriptor, _ in ready:
            self._takes[descriptor]()
        return bool(ready)

    def until(
        self, is_done: Callable[[], bool], describe: Callable[[], str], gather: float = 0.0
    ) -> None:
        """Turn until something is so, with a pause before each look.

        Raises:
            TimeoutError: nothing came for `SILENCE_SECONDS`; with what is told.
        """
        while not is_done():
            time.sleep(gather)
            if not self.turn():
                raise TimeoutError(f"nothing for {SILENCE_SECONDS} s: {describe()}")


@contextmanager
def spending() -> Iterator[dict[str, Any]]:
    """Note the wall and CPU seconds of a block in what becomes the answer."""
    result: dict[str, Any] = {}
    wall, cpu = time.perf_counter(), time.process_time()
    yield result
    result["seconds"] = time.perf_counter() - wall
    result["load_cpu"] = time.process_time() - cpu


class Publisher:
    """One connection that sends, and counts what answers it."""

    def __init__(self, loop: Loop, dialect: Dialect, url: str) -> None:
        self._acks = Marks(dialect.ack)
        self._socket = connect(url + dialect.publish_query, subprotocol=dialect.subprotocol)
        greet(self._socket, dialect.publisher_hello, dialect.hello_answer)
        loop.add(self._socket, self._take)
        self.acks = 0

    def send(self, burst: bytes) -> None:
        """Send it all: the kernel's buffer may be smaller."""
        self._socket.setblocking(True)
        self._socket.sendall(burst)
        self._socket.setblocking(False)

    def _take(self) -> None:
        piece = read(self._socket)
        if ERROR in piece:
            raise ConnectionError(f"refused: {piece[:500]!r}")
        self.acks += self._acks.take(piece)


class Fanout:
    """A publisher of bursts and its subscribers.

    The next burst is sent when the one before is acknowledged and everybody has it, so a burst is
    a burst: what several would share if they ran into each other is not counted as theirs.
    """

    def __init__(
        self,
        *,
        dialect: str,
        url: str,
        subscribers: int,
        burst: int,
        size: int,
        others: Sequence[str] = (),
    ) -> None:
        """Connect; subscribers are spread over `url`, where the publisher is, and the others."""
        urls = [url, *others]
        self._loop = Loop()
        self._delivered = 0
        self._burst = burst
        self._subscribers = subscribers
        spoken = DIALECTS[dialect]
        for number in range(subscribers):
            self._subscribe(spoken, urls[number % len(urls)])
        self._publisher = Publisher(self._loop, spoken, url)
        self._bytes, self._acks = spoken.burst(burst, size)

    def __call__(self, *, messages: int) -> dict[str, Any]:
        """Send so many messages."""
        rounds = messages // self._burst
        with spending() as result:
            for _ in range(rounds):
                self._send_burst()
        result["messages"] = rounds * self._burst
        return result

    def _subscribe(self, dialect: Dialect, url: str) -> None:
        subprotocol = dialect.subscriber_subprotocol
        connection = connect(url + dialect.subscribe_query, subprotocol=subprotocol)
        greet(connection, dialect.subscriber_hello, dialect.hello_answer)
        marks = Marks(dialect.delivery)

        def take() -> None:
            self._delivered += marks.take(connection.recv(READ_BYTES))

        self._loop.add(connection, take)

    def _send_burst(self) -> None:
        acks = self._publisher.acks + self._acks
        delivered = self._delivered + self._burst * self._subscribers
        self._publisher.send(self._bytes)
        self._loop.until(
            lambda: self._delivered >= delivered and self._publisher.acks >= acks,
            lambda: f"{delivered - self._delivered} deliveries missing",
            GATHER_SECONDS,
        )


class Writers:
    """Connections of which each sends its next message when the last is acknowledged."""

    def __init__(self, *, url: str, count: int, size: int) -> None:
        self._loop = Loop()
        self._message = masked(json.dumps({"body": body_of(size), "_ref": 1}).encode())
        self._latencies: list[float] = []
        self._sent: dict[socket.socket, float] = {}
        self._ends = 0.0
        for _ in range(count):
            self._add(connect(f"{url}?_since=now&id=nobody", subprotocol=V1))

    def __call__(self, *, seconds: float) -> dict[str, Any]:
        """Write for so long; what is under way at the end is waited for and counted."""
        self._latencies = []
        self._ends = time.perf_counter() + seconds
        with spending() as result:
            for connection in self._sent:
                self._send(connection)
            self._loop.until(
                lambda: not any(self._sent.values()),
                lambda: f"{sum(map(bool, self._sent.values()))} receipts missing",
            )
        return result | {"count": len(self._latencies)} | quantiles(self._latencies)

    def _add(self, connection: socket.socket) -> None:
        acks = Marks(b'"_ack"')
        self._sent[connection] = 0.0

        def take() -> None:
            piece = connection.recv(READ_BYTES)
            if ERROR in piece:
                raise ConnectionError(f"refused: {piece[:500]!r}")
            if not acks.take(piece):
                return
            now = time.perf_counter()
            self._latencies.append(now - self._sent[connection])
            self._sent[connection] = 0.0
            if now < self._ends:
                self._send(connection)

        self._loop.add(connection, take)

    def _send(self, connection: socket.socket) -> None:
        self._sent[connection] = time.perf_counter()
        connection.send(self._message)


class Latency:
    """Messages at a steady rate, whatever happens to them, and when they were received."""

    def __init__(self, *, url: str, subscribers: int, size: int) -> None:
        self._loop = Loop()
        self._size = size
        self._taken: list[float] = []
        """Seconds from due to received, by every sampler of every message."""
        self._samplers = 0
        for number in range(subscribers):
            connection = connect(f"{url}?_since=now")
            if number % SAMPLE_EVERY:
                self._loop.add(connection, discarding(connection))
            else:
                self._samplers += 1
                self._loop.add(connection, self._sampling(connection))
        self._publisher = Publisher(self._loop, DIALECTS["hub"], url)

    def __call__(self, *, messages: int, rate: float) -> dict[str, Any]:
        """Send; a message counts from the moment it was due, not from when there was time."""
        self._taken = []
        with spending() as result:
            began = time.perf_counter()
            for number in range(messages):
                due = began + number / rate
                while (pause := due - time.perf_counter()) > 0:
                    self._loop.turn(pause)
                self._publisher.send(self._message(due))
            self._loop.until(
                lambda: len(self._taken) >= messages * self._samplers,
                lambda: f"{len(self._taken)} samples",
            )
        return result | {"samples": len(self._taken)} | quantiles(self._taken)

    def _message(self, due: float) -> bytes:
        body = stamp(due) + body_of(self._size)[STAMP_BYTES:]
        return masked(json.dumps({"body": body, "_ref": 1}).encode())

    def _sampling(self, connection: socket.socket) -> Take:
        stamps = Stamps()

        def take() -> None:
            dues = stamps.take(read(connection))
            now = time.perf_counter()
            self._taken += [now - due for due in dues]

        return take


def discarding(connection: socket.socket) -> Take:
    """Take what has come without copying it out of the kernel (tcp(7): MSG_TRUNC)."""
    return lambda: connection.recv_into(_DISCARDED, 0, socket.MSG_TRUNC)


class Idle:
    """Connections that do nothing. `{}` in the URL is the number of each."""

    def __init__(self, *, url: str) -> None:
        self._url = url
        self._held: list[socket.socket] = []

    def __call__(self, *, count: int) -> dict[str, Any]:
        """Connect as many more."""
        first = len(self._held)
        for number in range(first, first + count):
            self._held.append(connect(self._url.replace("{}", str(number))))
        return {"count": len(self._held)}


class Slow:
    """Subscribers that read nothing until they are asked to."""

    def __init__(self, *, url: str, count: int) -> None:
        self._held = [connect(f"{url}?_since=now") for _ in range(count)]

    def __call__(self, *, messages: int) -> dict[str, Any]:
        """Read until each has so many messages; count what they have in the end."""
        loop = Loop()
        marks = [Marks(DIALECTS["hub"].delivery) for _ in self._held]
        for connection, counted in zip(self._held, marks, strict=True):
            loop.add(connection, counting(connection, counted))
        with spending() as result:
            loop.until(
                lambda: all(counted.seen >= messages for counted in marks),
                lambda: f"{[counted.seen for counted in marks]} of {messages}",
            )
        return result | {"least": min(counted.seen for counted in marks)}


def counting(connection: socket.socket, marks: Marks) -> Take:
    """Count the marks of what has come."""
    return lambda: marks.take(read(connection))


class Replay:
    """A new connection, each time, that reads the current rows."""

    def __init__(self, *, url: str, protocol: str = "") -> None:
        self._url = url
        self._protocol = protocol
        self._count = 0

    def __call__(self, *, rows: int) -> dict[str, Any]:
        """Connect and read so many rows, with a filter of one's own: equal replays are shared."""
        self._count += 1
        url = f"{self._url}?id!=nobody-{self._count}"
        marks = Marks(b'"timestamp"')
        with spending() as result, connect(url, subprotocol=self._protocol) as connection:
            while marks.seen < rows:
                marks.take(read(connection))
        return result | {"rows": marks.seen}


ROLES: dict[str, Callable[..., Role]] = {
    "fanout": Fanout,
    "writers": Writers,
    "latency": Latency,
    "idle": Idle,
    "slow": Slow,
    "replay": Replay,
}


def greet(connection: socket.socket, hello: bytes, answered: bytes) -> None:
    """Send what a connection begins with, and wait until it is answered."""
    if hello:
        connection.sendall(hello)
    heard = b""
    while answered not in heard:
        heard += read(connection)


def quantiles(seconds: Iterable[float]) -> dict[str, float]:
    """Return the median and the 99th percentile, in milliseconds."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {"p50": 1000 * ordered[last // 2], "p99": 1000 * ordered[int(last * 0.99)]}


def raise_open_files_limit() -> None:
    """Take as many descriptors as the system lets this process have: one a client."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    raise_open_files_limit()
    chosen = setup()
    answer(ROLES[chosen.pop("role")](**chosen))
