"""Mirrors measured: what they add to the hub's CPU, and to what clients wait, beside a hub without.

Both hubs run all the time and are asked in turns, so that a slower moment of the machine is one for
both. A database that is locked for the whole time must cost its clients nothing.
"""

import sqlite3
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.child import Child
from tests.bench.dialects import MESSAGE_BYTES
from tests.bench.figures import Figure, cores
from tests.bench.machine import own_cpu_seconds
from tests.bench.servers import CONFIG, Server, fresh_hub
from tests.postgres import Postgres

SECONDS = 3.0
ROUNDS = 5
WRITERS = 64
LOCKED = "a locked SQLite"
SUBSCRIBERS, BURST, DELIVERED = 100, 8, 8_000
CPU_MARK, WAIT_MARK = 1.25, 1.5
"""Multiples of the hub without a mirror."""
OpenUrl = Callable[[], AbstractContextManager[str]]


def mirror(scale: float) -> Iterator[Figure]:
    """What a hub with a mirror uses and takes, as a multiple of one without."""
    kinds: dict[str, OpenUrl] = {"SQLite": _sqlite, LOCKED: _sqlite}
    if Postgres.binaries() is not None:
        kinds["PostgreSQL"] = _postgres
    for kind, open_url in kinds.items():
        with open_url() as url, fresh_hub() as plain, fresh_hub(_mirrored_to(url)) as mirrored:
            lock = _locked(url) if kind == LOCKED else nullcontext()
            with lock:
                yield from _writes(kind, [mirrored, plain], SECONDS * scale)
                yield _deliveries(kind, [mirrored, plain], int(DELIVERED * scale))


def _mirrored_to(url: str) -> str:
    return CONFIG.replace("kwargs: {", f"kwargs: {{url: '{url}', ")


def _writes(kind: str, hubs: list[Server], seconds: float) -> Iterator[Figure]:
    setup = {"role": "writers", "count": WRITERS, "size": MESSAGE_BYTES}
    (mirrored, cpu), (plain, least) = _in_turns(hubs, setup, {"seconds": seconds})
    costs = [
        [spent / result["count"] for spent, result in zip(each, results, strict=True)]
        for each, results in ((cpu, mirrored), (least, plain))
    ]
    ours, theirs = (1e6 * statistics.median(each) for each in costs)
    yield Figure(
        what=f"CPU of a write with a mirror in {kind}",
        value=ours / theirs,
        unit="times",
        mark=CPU_MARK,
        is_ceiling=True,
        more=f"{ours:.0f} µs of the hub against {theirs:.0f} µs; {WRITERS} writers",
    )
    rates = [f"{statistics.median(_rates(each)):,.0f}" for each in (mirrored, plain)]
    waits = [statistics.median(result["p99"] for result in each) for each in (mirrored, plain)]
    yield Figure(
        what=f"99th percentile of a write with a mirror in {kind}",
        value=waits[0] / waits[1],
        unit="times",
        mark=WAIT_MARK,
        is_ceiling=True,
        more=f"{waits[0]:.1f} ms against {waits[1]:.1f} ms; {' a second against '.join(rates)}",
    )


def _rates(results: list[dict[str, Any]]) -> Iterator[float]:
    return (result["count"] / result["seconds"] for result in results)


def _deliveries(kind: str, hubs: list[Server], messages: int) -> Figure:
    setup = {"role": "fanout", "dialect": "hub", "subscribers": SUBSCRIBERS, "burst": BURST}
    setup |= {"size": MESSAGE_BYTES}
    (mirrored, cpu), (plain, least) = _in_turns(hubs, setup, {"messages": messages})
    ours, theirs = (statistics.median(spent) for spent in (cpu, least))
    seconds = [statistics.median(r["seconds"] for r in each) for each in (mirrored, plain)]
    return Figure(
        what=f"CPU of deliveries to {SUBSCRIBERS} subscribers with a mirror in {kind}",
        value=ours / theirs,
        unit="times",
        mark=CPU_MARK,
        is_ceiling=True,
        more=f"{cores('hub', ours, seconds[0])} against {cores('', theirs, seconds[1]).strip()}",
    )


def _in_turns(
    hubs: list[Server], setup: dict[str, Any], question: dict[str, Any]
) -> list[tuple[list[dict[str, Any]], list[float]]]:
    """Ask both hubs in turns; return the answers, and the CPU seconds of each hub's own process."""
    results: list[tuple[list[dict[str, Any]], list[float]]] = [([], []) for _ in hubs]
    with ExitStack() as stack:
        loads = [stack.enter_context(Child("load", url=hub.url, **setup)) for hub in hubs]
        for number in range(ROUNDS + 1):
            for hub, load, (answers, spent) in zip(hubs, loads, results, strict=True):
                before = own_cpu_seconds(hub.pid)
                answer = load.ask(**question)
                if number > 0:  # the first one warms up
                    answers.append(answer)
                    spent.append(own_cpu_seconds(hub.pid) - before)
    return results


@contextmanager
def _sqlite() -> Iterator[str]:
    with TemporaryDirectory(prefix="eventhub-bench-") as folder:
        yield f"sqlite:///{folder}/mirror.db"


@contextmanager
def _locked(url: str) -> Iterator[None]:
    """Hold the lock of an SQLite file that a hub uses."""
    path = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def _postgres() -> Iterator[str]:
    with Postgres.running() as server:
        yield server.url
