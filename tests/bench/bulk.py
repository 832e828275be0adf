"""Bulk writes measured: the Python client, next to a program that sends the same as ready bodies.

The limit is what the hub stores if bodies cost nothing to make and answers nothing to read, over
one connection as well. Both take turns, because a machine that is shared is not the same for long.
What the hub stores has two limits itself: the broker's raw group commit, and the processor.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from eventhub_client import Hub
from tests.bench.dialects import MESSAGE_BYTES, body_of
from tests.bench.figures import Figure, Limit
from tests.bench.machine import cpu_seconds
from tests.bench.servers import Server, fresh_hub
from tests.bench.writing import events_for, logged

ROWS = 20_000
"""In one round."""
ROUNDS = 5
BATCH = 1_500
"""Rows in a ready body: about as many bytes as the client sends at once."""
COMMIT = 256
"""Rows in one commit of the limit: as many as a run of an array."""
MARK = 20_000.0
"""Rows a second from one process."""


def bulk(scale: float) -> Iterator[Figure]:
    """Rows a second that one process stores, and the processor's time that the client needs."""
    count = max(BATCH, int(ROWS * scale))
    client, ready, own, hub = [], [], [], []
    with fresh_hub() as server, Hub(server.url.rpartition("/")[0]) as writer:
        for _ in range(ROUNDS):
            bodies = list(_bodies(count))
            ready.append(_rate(count, partial(_send, server, bodies)))
            before, own_before = cpu_seconds(server.pid), time.process_time()
            client.append(_rate(count, lambda: writer.bulk("bench", _rows(count))))
            own.append((time.process_time() - own_before) / count)
            hub.append((cpu_seconds(server.pid) - before) / count)
    costs = [1e6 * statistics.median(each) for each in (own, hub)]
    raw = logged("raw_commit", waiting=COMMIT, events=events_for(COMMIT, scale))
    cores = len(os.sched_getaffinity(0))
    yield Figure(
        what="rows of a bulk write of the Python client, one process",
        value=statistics.median(client),
        unit="a second",
        mark=MARK,
        limit=Limit(name="ready bodies, one connection", value=statistics.median(ready)),
        more=f"CPU of a row: client {costs[0]:.1f} µs, hub and broker {costs[1]:.0f} µs",
    )
    yield Figure(
        what="rows of ready bodies, one connection",
        value=statistics.median(ready),
        unit="a second",
        limit=Limit(name=f"raw group commit of {COMMIT}", value=raw["rate"]),
        more=f"the CPU of {cores} idle cores is enough for {1e6 * cores / sum(costs):,.0f}",
    )


def _rows(count: int) -> Iterator[dict[str, Any]]:
    body = body_of(MESSAGE_BYTES)
    return ({"body": body, "topic": "Help", "n": n} for n in range(count))


def _bodies(count: int) -> Iterator[bytes]:
    name = time.monotonic_ns()
    rows = [{"_key": f"{name}-{row['n']}", **row} for row in _rows(count)]
    for first in range(0, count, BATCH):
        yield json.dumps(rows[first : first + BATCH]).encode()


def _send(server: Server, bodies: list[bytes]) -> None:
    address = urlsplit(server.url)
    connection = HTTPConnection(address.netloc, timeout=60)
    for body in bodies:
        connection.request("POST", address.path, body, {"Content-Type": "application/json"})
        with connection.getresponse() as answer:
            answer.read()
        if answer.status != 200:
            raise ValueError(f"the hub answered with {answer.status}")
    connection.close()


def _rate(count: int, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)
