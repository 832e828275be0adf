"""Starting measured: when a gateway without tables is ready, by the length of the log.

In the same run it reads the whole log, and then takes over the tables that a projector has stored.
nats-server is a process of its own that runs already, as when a gateway is added to a cluster.
"""

import json
import shutil
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.bench.figures import Figure
from tests.bench.machine import cpu_seconds
from tests.bench.projecting import age, fill
from tests.bench.servers import CONFIG, hub_of, scratch
from tests.e2e.hub import Hub
from tests.nats_server import nats_server
from tests.waiting import until

LENGTHS = (100_000, 1_000_000)
STARTS = 3
MOST_SECONDS = 600.0
MARK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Start:
    """From the command to the line that says that the gateway is ready."""

    seconds: float
    cpu: float
    """Seconds of the gateway's process tree."""


def starting(scale: float) -> Iterator[Figure]:
    """Seconds to readiness without tables: from a stored snapshot, next to reading the log."""
    for length in LENGTHS:
        yield _measured(max(1_000, int(length * scale)))


def _measured(events: int) -> Figure:
    with scratch() as folder:
        fill(folder, events)
        age(folder)
        config = {
            "max_payload": 8 << 20,
            "jetstream": {"store_dir": str(folder / "data" / "jetstream")},
        }
        with nats_server(folder / "nats", config) as url:
            text = CONFIG.replace("log: {level: warning}", "log: {level: info, format: json}")
            text += f"broker: {{url: '{url}'}}\nprojection: {{snapshots: {{every: {events}}}}}\n"
            with scratch(text) as one, scratch(text) as other:
                gateway = hub_of(one, flags=["--role", "gateway"])
                projector = hub_of(other, flags=["--role", "projector"])
                try:
                    log = _start(gateway)
                    stored = _stored(projector)
                    starts = [_start(gateway) for _ in range(STARTS)]
                    assert len(_said(gateway, "snapshot_loaded")) == STARTS
                finally:
                    gateway.kill()
                    projector.kill()
    return Figure(
        what=f"a gateway without tables is ready, {events:,} events in the log",
        value=statistics.median(start.seconds for start in starts),
        unit="s",
        mark=MARK_SECONDS,
        is_ceiling=True,
        more=f"{statistics.median(start.cpu for start in starts):.1f} s of CPU; reading the log:"
        f" {log.seconds:.1f} s, {log.cpu:.1f} s of CPU; the projector has stored"
        f" {stored['bytes'] / 1e6:,.0f} MB in {stored['seconds']:.1f} s",
    )


def _start(gateway: Hub) -> Start:
    """Start a gateway without any data, and stop it."""
    shutil.rmtree(gateway.folder / "data", ignore_errors=True)
    began = time.perf_counter()
    gateway.start(MOST_SECONDS)
    seconds = time.perf_counter() - began
    assert gateway.process is not None
    start = Start(seconds, cpu_seconds(gateway.process.pid))
    gateway.stop()
    return start


def _stored(projector: Hub) -> dict[str, Any]:
    """Run a projector until it has stored its tables; return what it logged about that."""
    projector.launch()
    lines = until(lambda: _said(projector, "snapshot_stored"), seconds=MOST_SECONDS)
    projector.stop()
    return lines[0]


def _said(hub: Hub, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in hub.stderr().splitlines() if f'"{event}"' in line]
    return [line for line in lines if line["event"] == event]
