"""Idle gateway measured: what an event costs a gateway that no client uses, and the first client.

nats-server is a process of its own, and the events are appended past the gateways, which rest, or
follow all tables. So what their processes spend meanwhile is what they spend on events that none of
their clients wants.
"""

import asyncio
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count

from eventhub.channel import Channel, endpoints_of
from eventhub.config import load
from eventhub.jetstream import JetStreamLog
from eventhub.opening import channels_of
from tests.bench.dialects import MESSAGE_BYTES
from tests.bench.events import post
from tests.bench.figures import Figure, Limit
from tests.bench.machine import own_cpu_seconds
from tests.bench.servers import Server, scratch, serving
from tests.nats_server import nats_server
from tests.waiting import until

TABLES = 10
LOADS = ((256, 100_000), (4, 20_000))
"""Writers waiting at a time, and events, over all tables: in large batches, and in small ones."""
BEHIND = (10_000, 100_000)
REST_SECONDS = 1.0
NEVER_SECONDS = 1e9
SETTLE_SECONDS = 8.0
"""After the last event: by then a gateway that follows a table has stored and folded it."""
MARK_MICROSECONDS = 5.0
FOLLOWED = "eventhub_followed{"


def idle_gateway(scale: float) -> Iterator[Figure]:
    """CPU of an event, and the wait of the first client behind many events of its table."""
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        store = {"max_payload": 8 << 20, "jetstream": {"store_dir": str(folder / "store")}}
        url = stack.enter_context(nats_server(folder, store))
        gateways = []
        for seconds in (REST_SECONDS, NEVER_SECONDS):
            folder = stack.enter_context(scratch(_config(url)))
            program = ("tests.e2e.soon_resting", str(seconds))
            gateways.append(stack.enter_context(serving(folder, program, ["--role", "gateway"])))
        channels = channels_of(endpoints_of(load(folder / "eventhub.yaml")))
        asyncio.run(_append(url, channels, TABLES, 1))
        for number in range(TABLES):
            for gateway in gateways:
                _read(gateway, number)
        until(lambda: [_followed(gateway) for gateway in gateways] == [0, TABLES])
        for writers, events in LOADS:
            events = max(TABLES, int(events * scale))
            idle, following = _costs(gateways, url, channels, events, writers)
            yield Figure(
                what=f"an event for a gateway without clients, {writers} writers of"
                f" {TABLES} tables",
                value=1e6 * idle / events,
                unit="µs",
                mark=MARK_MICROSECONDS,
                is_ceiling=True,
                limit=Limit(name="one that follows the tables", value=1e6 * following / events),
            )
        for behind in BEHIND:
            events = max(1, int(behind * scale))
            asyncio.run(_append(url, channels[:1], events, LOADS[0][0]))
            began, before = time.perf_counter(), own_cpu_seconds(gateways[0].pid)
            _read(gateways[0], 0)
            seconds, used = time.perf_counter() - began, own_cpu_seconds(gateways[0].pid) - before
            yield Figure(
                what=f"the first read of a table that rested for {events:,} events",
                value=seconds,
                unit="s",
                more=f"{used:.2f} s of CPU",
            )
            until(lambda: _followed(gateways[0]) == 0)


def _costs(
    gateways: Sequence[Server], url: str, channels: Sequence[Channel], events: int, writers: int
) -> list[float]:
    """Return the CPU seconds of each gateway for some events, without what it uses idle."""
    pids = [gateway.pid for gateway in gateways]
    moments, spent = [time.perf_counter()], [[*map(own_cpu_seconds, pids)]]

    def note() -> None:
        moments.append(time.perf_counter())
        spent.append([*map(own_cpu_seconds, pids)])

    time.sleep(SETTLE_SECONDS)
    note()
    asyncio.run(_append(url, channels, events, writers))
    time.sleep(SETTLE_SECONDS)
    note()
    longer = (moments[2] - moments[1]) / (moments[1] - moments[0])
    return [
        max(0.0, after - before - longer * (before - first))
        for first, before, after in zip(*spent, strict=True)
    ]


def _config(url: str) -> str:
    lines = ["log: {level: warning}", f"broker: {{url: '{url}'}}", "url:"]
    for number in range(TABLES):
        lines += [
            f"  table{number}:",
            f"    pattern: /table{number}",
            "    handler: MessageHandler",
            "    kwargs: {columns: {topic: TEXT, body: TEXT, n: INTEGER}}",
        ]
    return "\n".join(lines) + "\n"


_numbers = count()


async def _append(url: str, channels: Sequence[Channel], events: int, writers: int) -> None:
    """Append new rows to tables in turns."""
    async with JetStreamLog.connect(url) as log:
        streams = [await log.open(channel) for channel in channels]
        left = iter(range(events))

        async def write() -> None:
            for number in left:
                stream = streams[number % len(streams)]
                event = post(stream.channel, next(_numbers), MESSAGE_BYTES)
                await stream.append(event, expect=0)

        async with asyncio.TaskGroup() as group:
            for _ in range(writers):
                group.create_task(write())


def _followed(gateway: Server) -> int:
    """Return how many tables a gateway follows."""
    lines = _get(gateway, "/metrics").splitlines()
    return sum(line.startswith(FOLLOWED) and line.endswith(" 1.0") for line in lines)


def _read(gateway: Server, table: int) -> None:
    _get(gateway, f"/table{table}?_limit=1")


def _get(gateway: Server, path: str) -> str:
    url = gateway.url.removesuffix("/bench") + path
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())
