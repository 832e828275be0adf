"""Reading measured: the replay to a new connection, and the memory of connections."""

import statistics
import time
from collections.abc import Iterator
from typing import Any

from tests.bench.child import Child
from tests.bench.figures import Figure, Limit, median_of
from tests.bench.machine import resident_bytes, spending
from tests.bench.projecting import fill, rebuild
from tests.bench.servers import fresh_hub, scratch, serving, ticking

ROWS = 100_000
REPETITIONS = 3
TICKED = 15
"""Replays during which the loop is watched."""
REPLAYS = 5
"""In one repetition: a replay takes a few ticks of the CPU's clock."""
WARM, IDLE = 200, 2_000
READ_NEVER, READ_LATER = 200, 5
SLOW_BYTES, SLOW_MESSAGE = 100_000_000, 4096
SLOW_BURST = 64


def replay(scale: float) -> Iterator[Figure]:
    """Rows to one new connection at a time, beside a snapshot that is sent nowhere."""
    rate, per_second, limit = replayed(int(ROWS * scale))
    yield Figure(
        what=f"replay of {ROWS:,} rows to a new connection",
        value=rate,
        unit="rows per CPU second",
        mark=500_000,
        limit=Limit(name="`to_json` alone", value=limit),
        more=f"{per_second:,.0f} rows a second",
    )
    latest, worst, used, at_rest = blocked(int(ROWS * scale))
    yield Figure(
        what="longest that the event loop is late during such a replay",
        value=latest,
        unit="ms",
        mark=5.0,
        is_ceiling=True,
        limit=Limit(name="the same loop at rest", value=at_rest),
        more=f"median of {TICKED}; the worst was {worst:.1f} ms; the loop itself used at most"
        f" {used:.1f} ms of CPU between two ticks",
    )


def replayed(rows: int) -> tuple[float, float, float]:
    """Return rows per CPU second and a second, and those per CPU second of a snapshot alone."""
    with scratch() as folder:
        fill(folder, rows)
        rebuild(folder)
        with serving(folder) as server, Child("load", role="replay", url=server.url) as load:
            load.ask(rows=rows)  # warm-up
            seconds = 0.0

            def measure() -> float:
                nonlocal seconds
                with spending(server.pid) as spent:
                    seconds = sum(load.ask(rows=rows)["seconds"] for _ in range(REPLAYS))
                return rows * REPLAYS / spent.cpu

            rate = median_of(REPETITIONS, measure)
        with Child("table_work", work="to_json", folder=str(folder)) as child:
            result = child.ask(repeat=REPETITIONS * REPLAYS)
    return rate, rows * REPLAYS / seconds, result["count"] / result["cpu"]


def blocked(rows: int) -> tuple[float, float, float, float]:
    """Return milliseconds: the latest tick in a replay, median and worst; the loop's CPU; at rest.

    The CPU is the most that was used between two ticks of any replay.
    """
    with scratch() as folder:
        fill(folder, rows)
        rebuild(folder)
        with (
            ticking(folder) as (server, ticks),
            Child("load", role="replay", url=server.url) as load,
        ):
            seconds = load.ask(rows=rows)["seconds"]  # warm-up
            at_rest, replayed, used = [], [], []
            for _ in range(TICKED):
                ticks.latest()
                time.sleep(seconds)
                at_rest.append(ticks.latest()[0])
                load.ask(rows=rows)
                late, cpu = ticks.latest()
                replayed.append(late)
                used.append(cpu)
    return statistics.median(replayed), max(replayed), max(used), statistics.median(at_rest)


def idle(scale: float) -> Iterator[Figure]:
    """Resident memory that each idle connection adds to the hub."""
    count = int(IDLE * scale)
    with (
        fresh_hub() as server,
        Child("load", role="idle", url=f"{server.url}?_since=now") as load,
    ):
        load.ask(count=WARM)  # what the first connections make is there for all
        before = resident_bytes(server.pid)
        load.ask(count=count)
        after = resident_bytes(server.pid)
    yield Figure(
        what=f"memory of an idle connection, of {IDLE:,}",
        value=(after - before) / count / 1024,
        unit="KB",
        mark=16.0,
        is_ceiling=True,
        more="resident memory of the hub's process",
    )


def slow(scale: float) -> Iterator[Figure]:
    """What a subscriber that reads nothing adds to the hub's memory; others read in the end.

    There are many, for two hubs differ by tens of megabytes: DuckDB keeps what it likes.
    """
    messages = int(SLOW_BYTES / SLOW_MESSAGE * scale) // SLOW_BURST * SLOW_BURST
    without, _ = _after_traffic(0, messages)
    resident, seconds = _after_traffic(READ_NEVER, messages)
    yield Figure(
        what="memory of a subscriber that reads nothing while 100 MB go by",
        value=(resident - without) / READ_NEVER / 1e6,
        unit="MB",
        mark=1.0,
        is_ceiling=True,
        more=f"mean of {READ_NEVER}, beside a hub without them; {READ_LATER} others then got all"
        f" {messages:,} messages, in {seconds:.1f} s",
    )


def _after_traffic(slow: int, messages: int) -> tuple[int, float]:
    """Return the hub's memory after traffic that nobody read, and the seconds to read it all."""
    with (
        fresh_hub() as server,
        Child("load", role="slow", url=server.url, count=READ_LATER) as later,
        Child("load", role="slow", url=server.url, count=slow),
        Child("load", **_publisher(server.url)) as load,
    ):
        load.ask(messages=messages)
        resident = resident_bytes(server.pid)
        result = later.ask(messages=messages)
        assert result["least"] == messages, result
        return resident, result["seconds"]


def _publisher(url: str) -> dict[str, Any]:
    return {
        "role": "fanout",
        "dialect": "hub",
        "url": url,
        "subscribers": 0,
        "burst": SLOW_BURST,
        "size": SLOW_MESSAGE,
    }
