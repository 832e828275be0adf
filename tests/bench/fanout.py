"""Fan-out measured: deliveries, the time from sender to receiver, and the cost of other topics."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from tests.bench.child import Child
from tests.bench.dialects import MESSAGE_BYTES
from tests.bench.figures import Figure, Limit, Rate, cores, median_of
from tests.bench.machine import spending
from tests.bench.servers import Server, bare_loop, fresh_hub, nats_websocket

SUBSCRIBERS = 500
REPETITIONS = 3
BURSTS = ((1, 400, 250_000, 2.0), (8, 3_200, 1_500_000, 3.0), (64, 6_400, 3_000_000, 3.5))
"""Messages of a burst, messages of a repetition, deliveries per CPU second, times nats-server."""
RATE, RATE_MESSAGES = 200.0, 2_000
FEW, MANY = 20, 2_000
TOPIC_MESSAGES, TOPIC_BURST = 12_800, 64

Servers = Callable[[], AbstractContextManager[Server]]


def deliveries(scale: float) -> Iterator[Figure]:
    """Deliveries per CPU second, writing included, beside the two limits."""
    for burst, messages, mark, times in BURSTS:
        count = max(burst, int(messages * scale))
        hub = delivered(fresh_hub, burst=burst, messages=count)
        bare = delivered(bare_loop, burst=burst, messages=count)
        nats = delivered(nats_websocket, burst=burst, messages=count)
        how = "one message at a time" if burst == 1 else f"bursts of {burst}"
        what = f"deliveries, {SUBSCRIBERS} subscribers, {how}"
        yield Figure(
            what=what,
            value=hub.value,
            unit="per CPU second",
            mark=mark,
            limit=Limit(name="bare aiohttp loop", value=bare.value),
            more=hub.more,
        )
        yield Figure(
            what=f"{what}, beside nats-server",
            value=hub.value,
            unit="per CPU second",
            mark=times,
            of_limit=True,
            limit=Limit(name="nats-server's WebSocket", value=nats.value),
            more=nats.more,
        )


def delivered(
    servers: Servers,
    *,
    burst: int,
    messages: int,
    subscribers: int = SUBSCRIBERS,
    size: int = MESSAGE_BYTES,
) -> Rate:
    """Return the deliveries per CPU second of a server."""
    with (
        servers() as server,
        Child(
            "load",
            role="fanout",
            dialect=server.dialect,
            url=server.url,
            subscribers=subscribers,
            burst=burst,
            size=size,
        ) as load,
    ):
        load.ask(messages=max(burst, messages // 4))  # warm-up
        more = ""

        def measure() -> float:
            nonlocal more
            with spending(server.pid) as spent:
                result = load.ask(messages=messages)
            server_share = cores(server.dialect, spent.cpu, spent.wall)
            more = f"{server_share}, {cores('load', result['load_cpu'], result['seconds'])}"
            return float(result["messages"] * subscribers / spent.cpu)

        return Rate(median_of(REPETITIONS, measure), more)


def latency(scale: float) -> Iterator[Figure]:
    """From the moment a message is due to be sent until a sample of subscribers has it."""
    with (
        fresh_hub() as server,
        Child(
            "load", role="latency", url=server.url, subscribers=SUBSCRIBERS, size=MESSAGE_BYTES
        ) as load,
    ):
        load.ask(messages=int(RATE), rate=RATE)  # warm-up
        with spending(server.pid) as spent:
            result = load.ask(messages=int(RATE_MESSAGES * scale), rate=RATE)
    yield Figure(
        what=f"send to receipt, 99th percentile, {SUBSCRIBERS} subscribers, {RATE:.0f} a second",
        value=result["p99"],
        unit="ms",
        mark=25.0,
        is_ceiling=True,
        more=f"median {result['p50']:.1f} ms; {cores('hub', spent.cpu, spent.wall)},"
        f" {cores('load', result['load_cpu'], result['seconds'])}",
    )


def topics(scale: float) -> Iterator[Figure]:
    """What subscribers of other topics add to the cost of a message."""
    messages = int(TOPIC_MESSAGES * scale)
    few, many = (cost_beside(count, messages) for count in (FEW, MANY))
    yield Figure(
        what=f"cost of a message beside {MANY:,} other topics, of one beside {FEW}",
        value=many / few,
        unit="times",
        mark=1.2,
        is_ceiling=True,
        more=f"{1e6 * many:.0f} µs of CPU, and {1e6 * few:.0f}",
    )


def cost_beside(others: int, messages: int) -> float:
    """Return the CPU seconds of a message that none of so many subscribers wants."""
    with (
        fresh_hub() as server,
        Child("load", role="idle", url=f"{server.url}?_since=now&topic=t{{}}") as idle,
        Child(
            "load",
            role="fanout",
            dialect="hub",
            url=server.url,
            subscribers=0,
            burst=TOPIC_BURST,
            size=MESSAGE_BYTES,
        ) as load,
    ):
        idle.ask(count=others)
        load.ask(messages=max(TOPIC_BURST, messages // 4))  # warm-up

        def measure() -> float:
            with spending(server.pid) as spent:
                result = load.ask(messages=messages)
            return float(spent.cpu / result["messages"])

        return median_of(REPETITIONS, measure)
