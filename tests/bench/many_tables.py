"""Many tables measured: how long a hub with a thousand takes to start, and what it costs idle.

The tables are empty and nobody reads them, so what is measured belongs to the tables themselves:
their streams, their readers and their tables in DuckDB.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from eventhub.background import side_by_side
from eventhub.stream import STREAMS_AT_ONCE
from tests.bench.figures import Figure, Limit
from tests.bench.machine import cpu_seconds, own_cpu_seconds, resident_bytes, tree
from tests.bench.servers import hub_of, scratch
from tests.cluster import SERVERS, Cluster, cluster

TABLES = 1_000
START_SECONDS = 600.0
"""The most that a start may take; it was 207 s once."""
SETTLE_SECONDS = 35.0
"""Before the idle state is measured: what follows a start has ended, and readers have found that
nothing comes."""
IDLE_SECONDS = 40.0
"""Longer than the longest interval of anything that an idle hub does."""
MARKS = {"embedded": 10.0, "three servers": 30.0}
"""Seconds from the start of a process to its readiness."""
IDLE_MARK = 5.0
"""Per cent of a core."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the processes have used, or use, of the processor."""

    hub: float
    servers: float

    def since(self, before: "Spent", seconds: float) -> "Spent":
        """Return per cent of a core in some seconds."""
        share = 100 / seconds
        return Spent(share * (self.hub - before.hub), share * (self.servers - before.servers))

    @property
    def both(self) -> float:
        """Hub and servers together."""
        return self.hub + self.servers


def tables(scale: float) -> Iterator[Figure]:
    """Seconds to readiness, per cent of a core when idle, memory: embedded, and on a cluster."""
    count = max(1, int(TABLES * scale))
    yield from _measured("embedded", count, None)
    with scratch() as folder, cluster(folder) as servers:
        seconds = asyncio.run(_make(servers, count))
    limit = Limit(name="the same streams made by nats-py alone, s", value=seconds)
    with scratch() as folder, cluster(folder) as servers:
        yield from _measured("three servers", count, servers, limit)


async def _make(servers: Cluster, count: int) -> float:
    """Make streams with three copies as a hub does, and nothing else; return the seconds."""
    async with servers.client() as client:

        async def make(number: int) -> None:
            name = f"EH_table{number}"
            settings = {
                "name": name,
                "subjects": [f"eh.table{number}.*"],
                "num_replicas": SERVERS,
                "storage": "file",
                "allow_direct": True,
                "allow_atomic": True,
            }
            request = msgspec.json.encode(settings)
            answer = await client.request(f"$JS.API.STREAM.CREATE.{name}", request, timeout=30)
            assert "error" not in msgspec.json.decode(answer.data), answer.data

        began = time.perf_counter()
        await side_by_side(make, range(count), STREAMS_AT_ONCE)
        return time.perf_counter() - began


def _measured(
    where: str, count: int, servers: Cluster | None, limit: Limit | None = None
) -> Iterator[Figure]:
    with scratch(_config(count, servers)) as folder:
        for start in ("first", "second"):
            with _started(folder, servers) as (hub, seconds, used):
                yield Figure(
                    what=f"{start} start with {count:,} tables, {where}",
                    value=seconds,
                    unit="s",
                    mark=MARKS[where],
                    is_ceiling=True,
                    limit=limit if start == "first" else None,
                    more=f"CPU of the hub {used.hub:.1f} s, of nats-server {used.servers:.1f} s",
                )
                if start == "first":
                    yield from _idle(where, count, hub, servers)


def _idle(where: str, count: int, hub: int, servers: Cluster | None) -> Iterator[Figure]:
    time.sleep(SETTLE_SECONDS)
    before, began = _spent(hub, servers), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    idle = _spent(hub, servers).since(before, time.perf_counter() - began)
    yield Figure(
        what=f"CPU of {count:,} idle tables, {where}",
        value=idle.both,
        unit="% of a core",
        mark=IDLE_MARK,
        is_ceiling=True,
        more=f"the hub {idle.hub:.2g} %, nats-server {idle.servers:.2g} %",
    )
    held = [resident_bytes(pid) for pid in (hub, *_server_pids(hub, servers))]
    yield Figure(
        what=f"resident memory of the hub with {count:,} tables, {where}",
        value=held[0] / 1e6,
        unit="MB",
        more=f"nats-server {', '.join(f'{each / 1e6:.0f}' for each in held[1:])} MB",
    )


def _config(count: int, servers: Cluster | None) -> str:
    lines = ["log: {level: warning}"]
    if servers is not None:
        lines.append(f"broker: {{url: [{', '.join(servers.urls)}], replicas: 3}}")
    lines.append("url:")
    for number in range(count):
        lines += [
            f"  table{number}:",
            f"    pattern: /table{number}",
            "    handler: MessageHandler",
            "    kwargs: {columns: {topic: TEXT, body: TEXT, n: INTEGER}}",
        ]
    return "\n".join(lines) + "\n"


@contextmanager
def _started(folder: Path, servers: Cluster | None) -> Iterator[tuple[int, float, Spent]]:
    """Run a hub; yield its pid, the seconds until it was ready, and what that used."""
    before = Spent(0.0, sum(map(own_cpu_seconds, servers.pids)) if servers is not None else 0.0)
    hub, began = hub_of(folder), time.perf_counter()
    hub.start(START_SECONDS)
    seconds = time.perf_counter() - began
    assert hub.process is not None
    try:
        used = _spent(hub.process.pid, servers)
        yield hub.process.pid, seconds, Spent(used.hub, used.servers - before.servers)
        hub.stop()
    finally:
        hub.kill()


def _spent(hub: int, servers: Cluster | None) -> Spent:
    own = own_cpu_seconds(hub)
    if servers is None:
        return Spent(own, cpu_seconds(hub) - own)
    return Spent(own, sum(map(own_cpu_seconds, servers.pids)))


def _server_pids(hub: int, servers: Cluster | None) -> list[int]:
    if servers is not None:
        return servers.pids
    return [process.pid for process in tree(hub) if process.pid != hub]
