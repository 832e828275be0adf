"""A cluster measured: what three copies of each event cost, and what each more gateway does.

Three nats-servers, which sync each write, and the hubs share one machine: so a cluster has the
cores of one machine here, and its CPU is what to look at. What is compared runs all the time and is
asked in turns, so that a slower moment of the machine is one for all.
"""

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from eventhub.channel import Channel
from tests.bench.child import Child
from tests.bench.dialects import MESSAGE_BYTES
from tests.bench.events import channel_of, post
from tests.bench.figures import Figure
from tests.bench.machine import cpu_seconds
from tests.bench.servers import CONFIG, Server, fresh_hub, scratch, serving
from tests.cluster import SERVERS, Cluster, cluster

SECONDS = 3.0
ROUNDS = 5
WRITERS = ((1, 2.0), (64, 1.2), (512, 1.3))
"""Writers waiting at a time; how many times slower three copies may be than one."""
MOST_GATEWAYS = 4
SUBSCRIBERS, BURST, DELIVERED = 480, 8, 4_000
"""In all, over all gateways; messages of a burst, and of a measurement."""
LENGTHS = (10_000, 100_000)
APPENDERS = 512


CASES = ("writes", "deliveries", "starts")


def replicas(scale: float, only: str = "") -> Iterator[Figure]:
    """Those of `CASES` with `only` in their name, on three servers."""
    writes, deliveries, starts = (only in case for case in CASES)
    for waiting, mark in WRITERS if writes else ():
        yield _writes(waiting, mark, SECONDS * scale)
    if deliveries:
        yield from _deliveries(int(DELIVERED * scale))
    for length in LENGTHS if starts else ():
        yield _start(int(length * scale))


@contextmanager
def _cluster() -> Iterator[tuple[Cluster, list[int]]]:
    """Three servers, and the ids of their processes."""
    with scratch() as folder, cluster(folder) as servers:
        yield servers, [servers.pid(number) for number in range(SERVERS)]


def _config(servers: Cluster, copies: int, table: str = "bench") -> str:
    broker = f"broker: {{url: [{', '.join(servers.urls)}], replicas: {copies}}}\n"
    return broker + CONFIG.replace("kwargs: {", f"kwargs: {{table: {table}, ")


def _writes(waiting: int, mark: float, seconds: float) -> Figure:
    with ExitStack() as stack:
        servers, pids = stack.enter_context(_cluster())
        hubs: list[tuple[Server, Sequence[int]]] = [(stack.enter_context(fresh_hub()), ())]
        for copies in (1, SERVERS):
            config = _config(servers, copies, f"copies{copies}")
            hubs.append((stack.enter_context(fresh_hub(config)), pids))
        setup = {"role": "writers", "count": waiting, "size": MESSAGE_BYTES}
        loads = [stack.enter_context(Child("load", url=hub.url, **setup)) for hub, _ in hubs]
        for load in loads:
            load.ask(seconds=seconds / 3)  # warm-up
        rates: list[list[float]] = [[] for _ in hubs]
        costs: list[list[float]] = [[] for _ in hubs]
        for _ in range(ROUNDS):
            for number, ((hub, brokers), load) in enumerate(zip(hubs, loads, strict=True)):
                before = _cpu((hub.pid, *brokers))
                result = load.ask(seconds=seconds)
                costs[number].append((_cpu((hub.pid, *brokers)) - before) / result["count"])
                rates[number].append(result["count"] / result["seconds"])
    names = ("embedded", "one copy", "three copies")
    facts = [
        f"{name} {statistics.median(rate):,.0f} a second, {1e6 * statistics.median(cost):,.0f} µs"
        for name, rate, cost in zip(names, rates, costs, strict=True)
    ]
    slower = [one / three for one, three in zip(rates[1], rates[2], strict=True)]
    return Figure(
        what=f"a write with three copies, of one with one copy, {waiting} writers",
        value=statistics.median(slower),
        unit="times",
        mark=mark,
        is_ceiling=True,
        more=f"{'; '.join(facts)} of CPU for an event, servers included",
    )


def _cpu(pids: Sequence[int]) -> float:
    return sum(map(cpu_seconds, pids))


def _deliveries(messages: int) -> Iterator[Figure]:
    with ExitStack() as stack:
        servers, pids = stack.enter_context(_cluster())
        gateways: list[Server] = []
        for count in range(1, MOST_GATEWAYS + 1):
            folder = stack.enter_context(scratch(_config(servers, SERVERS)))
            gateways.append(stack.enter_context(serving(folder, flags=["--role", "gateway"])))
            hubs = [gateway.pid for gateway in gateways]
            setup: dict[str, Any] = {"dialect": "hub", "burst": BURST, "size": MESSAGE_BYTES}
            setup |= {"subscribers": SUBSCRIBERS, "url": gateways[0].url}
            setup["others"] = [gateway.url for gateway in gateways[1:]]
            with Child("load", role="fanout", **setup) as load:
                load.ask(messages=max(BURST, messages // 4))  # warm-up
                costs = []
                for _ in range(ROUNDS):
                    before = [_cpu(hubs), _cpu(pids)]
                    sent = load.ask(messages=messages)["messages"]
                    after = [_cpu(hubs), _cpu(pids)]
                    costs.append([(b - a) / sent for a, b in zip(before, after, strict=True)])
            ours, brokers = (1e6 * statistics.median(each) for each in zip(*costs, strict=True))
            yield Figure(
                what=f"deliveries of {count} gateways to {SUBSCRIBERS} subscribers in all",
                value=1e6 * SUBSCRIBERS / ours,
                unit="per CPU second",
                more=f"bursts of {BURST}; a message costs {ours:,.0f} µs of all gateways,"
                f" and {brokers:,.0f} µs of the servers",
            )


def _start(length: int) -> Figure:
    """Measure a new gateway, without any data, from the command to readiness."""
    with _cluster() as (servers, _), scratch(_config(servers, SERVERS)) as folder:
        asyncio.run(_fill(servers, channel_of(folder), length))
        began = time.perf_counter()
        with serving(folder, flags=["--role", "gateway"]) as hub:
            seconds, cpu = time.perf_counter() - began, cpu_seconds(hub.pid)
    return Figure(
        what=f"a new gateway of a cluster, until it is ready, {length:,} events",
        value=seconds,
        unit="s",
        more=f"{cpu:.1f} s of its CPU",
    )


async def _fill(servers: Cluster, channel: Channel, length: int) -> None:
    async with servers.connect() as log:
        stream = await log.open(channel)
        events = (post(channel, number, MESSAGE_BYTES) for number in range(length))

        async def write() -> None:
            for event in events:
                await stream.append(event, expect=0)

        async with asyncio.TaskGroup() as group:
            for _ in range(APPENDERS):
                group.create_task(write())
