"""Bench: what the hub does in a second, and what it costs. `make bench` prints the table.

A real hub with its own broker and fsync, clients in processes of their own. CPU is user and
system time of the hub and its broker together. Figures vary by a third between runs on a shared
machine; compare runs of one day, and the ratios.
"""

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.load import Counter, connect
from tests.e2e.hub import Hub

CONFIG = """
log: {level: warning}
url:
  bench:
    pattern: /bench
    handler: MessageHandler
    kwargs: {columns: {body: TEXT, n: INTEGER}}
"""
BODY = "b" * 190
"""Makes a broadcast frame of about 300 bytes."""
SUBSCRIBERS = 500
ROWS = 100_000
FILLERS = 100
"""Connections that fill a table: enough to make the broker's batches large."""
V1 = "eventhub.v1.json"


def processes(hub: Hub) -> list[psutil.Process]:
    """The hub and its broker."""
    assert hub.process is not None
    root = psutil.Process(hub.process.pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(hub: Hub) -> float:
    """User and system time of the hub and its broker so far."""
    times = (process.cpu_times() for process in processes(hub))
    return sum(each.user + each.system for each in times)


@contextmanager
def metered(hub: Hub, into: dict[str, float]) -> Iterator[None]:
    """Measure wall and CPU seconds of a block."""
    wall, cpu = time.perf_counter(), cpu_seconds(hub)
    yield
    into["wall"], into["cpu"] = time.perf_counter() - wall, cpu_seconds(hub) - cpu


async def write_for(url: str, writers: int, seconds: float) -> tuple[int, list[float]]:
    """Write from many WebSockets, each waiting for its receipt; return count and latencies."""
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def write(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(f"{url}?_since=now&id=nobody", protocols=(V1,)) as socket:
            message = json.dumps({"body": BODY, "_ref": 1})
            while time.perf_counter() < until:
                sent = time.perf_counter()
                await socket.send_str(message)
                while "_ack" not in await socket.receive_str():
                    pass
                latencies.append(time.perf_counter() - sent)

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(writers):
            group.create_task(write(session))
    return len(latencies), latencies


def acknowledged_writes(hub: Hub, url: str, writers: int) -> dict[str, Any]:
    """Fsynced, acknowledged writes a second."""
    meter: dict[str, float] = {}
    with metered(hub, meter):
        count, latencies = asyncio.run(write_for(url, writers, 4.0))
    return {
        "figure": f"acknowledged writes a second, {writers} writers",
        "value": count / meter["wall"],
        "more": f"{count / meter['cpu']:,.0f} per CPU second, "
        f"median {1000 * statistics.median(latencies):.1f} ms",
    }


@contextmanager
def subscribers(url: str, count: int) -> Iterator[Callable[[], int]]:
    """Connect many clients in a process of their own; what is yielded tells frames seen."""
    command = [sys.executable, str(Path(__file__).with_name("load.py")), url, str(count)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "connected"
        stdin, stdout = process.stdin, process.stdout

        def seen() -> int:
            stdin.write("\n")
            stdin.flush()
            return int(stdout.readline())

        yield seen
        process.kill()


async def publish(url: str, messages: int, burst: int) -> None:
    """Write one after the other; of a burst, the receipts are awaited together."""
    async with aiohttp.ClientSession() as session:
        sockets = [
            await session.ws_connect(f"{url}?_since=now&id=nobody", protocols=(V1,))
            for _ in range(burst)
        ]
        message = json.dumps({"body": BODY, "_ref": 1})
        for _ in range(messages // burst):
            for socket in sockets:
                await socket.send_str(message)
            for socket in sockets:
                while "_ack" not in await socket.receive_str():
                    pass


def bare_loop(_: Hub, __: str, messages: int, burst: int) -> dict[str, Any]:
    """The limit: an aiohttp server that does nothing but write finished frames to sockets."""
    command = [sys.executable, str(Path(__file__).with_name("bare_loop.py"))]
    command += [str(SUBSCRIBERS), str(messages), str(burst)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        with subscribers(url, SUBSCRIBERS) as seen:
            while seen() < messages * SUBSCRIBERS:
                time.sleep(0.005)
        cpu = float(server.stdout.readline())
    return {
        "figure": f"the limit of that: a bare loop of writes, bursts of {burst}",
        "value": messages * SUBSCRIBERS / cpu,
        "more": "nothing stored, filtered or encoded",
    }


def deliveries(hub: Hub, url: str, messages: int, burst: int) -> dict[str, Any]:
    """Deliveries per CPU second of hub and broker, writing included."""
    meter: dict[str, float] = {}
    with subscribers(f"{url}?_since=now", SUBSCRIBERS) as seen, metered(hub, meter):
        asyncio.run(publish(url, messages, burst))
        while seen() < messages * SUBSCRIBERS:
            time.sleep(0.005)
    return {
        "figure": f"deliveries per CPU second, {SUBSCRIBERS} subscribers, bursts of {burst}",
        "value": messages * SUBSCRIBERS / meter["cpu"],
        "more": f"{messages * SUBSCRIBERS / meter['wall']:,.0f} a second",
    }


async def fill(url: str, rows: int) -> None:
    """Write rows quickly: arrays, over several connections."""

    async def write(session: aiohttp.ClientSession, count: int) -> None:
        for start in range(0, count, 500):
            batch = [{"body": BODY, "n": start + n} for n in range(min(500, count - start))]
            async with session.post(url, json=batch) as answer:
                assert all("_seq" in receipt for receipt in await answer.json())

    timeout = aiohttp.ClientTimeout(total=600)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(FILLERS):
            group.create_task(write(session, rows // FILLERS))


def replayed_rows(hub: Hub, url: str) -> dict[str, Any]:
    """Rows replayed to one new connection at a time, per CPU second of the hub."""
    asyncio.run(fill(url, ROWS))
    results = []
    for _ in range(3):
        meter: dict[str, float] = {}
        with metered(hub, meter):
            rows = read_replay(f"{url}?n>~=0")
        results.append((rows / meter["cpu"], rows / meter["wall"]))
    per_cpu, per_second = (statistics.median(column) for column in zip(*results, strict=True))
    return {
        "figure": f"rows per CPU second, replay of {ROWS:,}",
        "value": per_cpu,
        "more": f"{per_second:,.0f} a second",
    }


def read_replay(url: str) -> int:
    """Count rows until all have come."""
    connection = connect(url)
    connection.setblocking(True)
    counter = Counter(b'"timestamp"')
    while counter.seen < ROWS:
        counter.take(connection.recv(1 << 20))
    connection.close()
    return counter.seen


def idle_memory(hub: Hub, url: str) -> dict[str, Any]:
    """Resident bytes that each idle connection adds to the hub."""
    count, root = 2000, processes(hub)[0]
    before = root.memory_info().rss
    with subscribers(f"{url}?_since=now", count) as seen:
        seen()
        time.sleep(1)
        after = root.memory_info().rss
    return {
        "figure": f"bytes for an idle connection, of {count:,}",
        "value": (after - before) / count,
        "more": "resident memory",
    }


def measured(measure: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Run one measurement on a hub of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "eventhub.yaml").write_text(CONFIG)
        hub = Hub(folder / "eventhub.yaml", folder, [])
        hub.start()
        try:
            return measure(hub, f"{hub.url}/bench", *arguments)
        finally:
            hub.kill()


MEASUREMENTS: list[tuple[Any, ...]] = [
    (acknowledged_writes, 8),
    (acknowledged_writes, 64),
    (acknowledged_writes, 512),
    (deliveries, 1000, 1),
    (bare_loop, 1000, 1),
    (deliveries, 4000, 8),
    (bare_loop, 4000, 8),
    (deliveries, 12800, 64),
    (bare_loop, 12800, 64),
    (replayed_rows,),
    (idle_memory,),
]


def main() -> None:
    """Measure everything, or what an argument names; print a table, or JSON with --json."""
    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    chosen = [m for m in MEASUREMENTS if not names or m[0].__name__ in names]
    if "--json" in sys.argv:
        print(json.dumps([measured(*each) for each in chosen], indent=2))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| figure | value | more |\n| --- | ---: | --- |")
    for each in chosen:
        result = measured(*each)
        print(f"| {result['figure']} | {result['value']:,.0f} | {result['more']} |", flush=True)


if __name__ == "__main__":
    main()
