"""Streams measured: whether one table would take more writes if several streams shared its events.

Three nats-servers keep three copies of each event. One process writes as the hub does, each event
to the stream that the id of its row chooses, and the leaders of the streams are spread over the
servers. One stream and several are asked in turns, so that a slower moment of the machine is one
for all.
"""

import asyncio
import itertools
import json
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from zlib import crc32

import uvloop

from eventhub.channel import Channel
from eventhub.stream import EventStream
from tests.bench.dialects import MESSAGE_BYTES
from tests.bench.events import channel_of, post
from tests.bench.figures import Figure
from tests.bench.machine import own_cpu_seconds
from tests.bench.servers import scratch
from tests.cluster import SERVERS, Cluster, cluster

STREAMS = (1, 3, 6)
"""How many share the events; the first is what the others are compared with."""
WRITERS = (1, 64, 512)
SECONDS = 1.5
ROUNDS = 5
LEADER_SECONDS = 10.0
"""Until a server leads a stream that was asked to."""

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class _Round:
    """What some seconds of writing came to."""

    rate: float
    """Events a second."""
    hub: float
    """CPU of the writing process for an event, in seconds."""
    servers: float
    """CPU of all servers for an event, in seconds."""
    busiest: float
    """CPU of the server that used most, for an event, in seconds."""


def streams(scale: float) -> Iterator[Figure]:
    """Writes to several streams, as a multiple of those to one."""
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        servers = stack.enter_context(cluster(folder / "servers"))
        found = uvloop.run(_measured(servers, channel_of(folder), SECONDS * scale))
    for waiting, rounds in found.items():
        one, *_ = rounds.values()
        for count, several in list(rounds.items())[1:]:
            yield Figure(
                what=f"writes to {count} streams, of those to one, {waiting} writers",
                value=statistics.median(a.rate / b.rate for a, b in zip(several, one, strict=True)),
                unit="times",
                more=f"{_facts(several)}; one stream {_facts(one)}",
            )


def _facts(rounds: Sequence[_Round]) -> str:
    rate, hub, servers, busiest = (
        statistics.median(getattr(each, name) for each in rounds) for name in _Round.__slots__
    )
    return (
        f"{rate:,.0f} a second, {1e6 * hub:,.0f} µs of CPU of the writer for an event,"
        f" {1e6 * servers:,.0f} of the servers, {1e6 * busiest:,.0f} of the busiest"
    )


async def _measured(
    servers: Cluster, channel: Channel, seconds: float
) -> dict[int, dict[int, list[_Round]]]:
    """Return the rounds by writers and number of streams."""
    found: dict[int, dict[int, list[_Round]]] = {}
    async with servers.connect() as log:
        opened = {
            count: [
                await log.open(replace(channel, name=f"of{count}x{number}"))
                for number in range(count)
            ]
            for count in STREAMS
        }
        for each in opened.values():
            await _spread(servers, each)
        for waiting in WRITERS:
            found[waiting] = {count: [] for count in STREAMS}
            for each in opened.values():
                await _written(servers, each, waiting, seconds / 3)  # warm-up
            for _ in range(ROUNDS):
                for count, each in opened.items():
                    found[waiting][count].append(await _written(servers, each, waiting, seconds))
    return found


async def _spread(servers: Cluster, opened: Sequence[EventStream]) -> None:
    """Make the servers leaders in turn."""
    async with servers.client() as client, asyncio.timeout(LEADER_SECONDS * len(opened)):
        for number, stream in enumerate(opened):
            name, wanted = stream.channel.stream, f"n{number % SERVERS}"
            while True:
                info = await client.jetstream().stream_info(name)
                if info.cluster is not None and info.cluster.leader == wanted:
                    break
                request = json.dumps({"placement": {"preferred": wanted}}).encode()
                await client.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{name}", request)
                await asyncio.sleep(0.1)


async def _written(
    servers: Cluster, opened: Sequence[EventStream], waiting: int, seconds: float
) -> _Round:
    """Write for some seconds, so many events waiting at a time."""
    done = 0

    async def write() -> None:
        nonlocal done
        while time.perf_counter() < end:
            event = post(opened[0].channel, next(_numbers), MESSAGE_BYTES)
            stream = opened[crc32(event.id.encode()) % len(opened)]
            await stream.append(event, expect=0)
            done += 1

    pids = [os.getpid(), *servers.pids]
    before = [own_cpu_seconds(pid) for pid in pids]
    began = time.perf_counter()
    end = began + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(waiting):
            group.create_task(write())
    wall = time.perf_counter() - began
    hub, *others = (own_cpu_seconds(pid) - then for pid, then in zip(pids, before, strict=True))
    return _Round(done / wall, hub / done, sum(others) / done, max(others) / done)
