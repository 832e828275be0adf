"""Parts measured: what an event costs each process that serves a table on a cluster.

One gateway stores what writers send, another one has a single subscriber, and a projector has no
clients. So it shows which of them needs more cores, or more processes, first.
"""

import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.bench.child import Child
from tests.bench.dialects import MESSAGE_BYTES
from tests.bench.figures import Figure
from tests.bench.machine import own_cpu_seconds
from tests.bench.servers import CONFIG, hub_of, scratch, serving
from tests.cluster import SERVERS, cluster
from tests.ports import free_port
from tests.waiting import until

WRITERS = (64, 512)
SECONDS = 3.0
ROUNDS = 5
SETTLE_SECONDS = 1.5
"""After the last write: by then it is read, and stored and folded by the projectors."""
READY_SECONDS = 10.0


def parts(scale: float) -> Iterator[Figure]:
    """CPU of an event for each process, on three servers with three copies."""
    with ExitStack() as stack:
        servers = stack.enter_context(cluster(stack.enter_context(scratch())))
        broker = f"broker: {{url: [{', '.join(servers.urls)}], replicas: {SERVERS}}}\n"
        storing, reading = (
            stack.enter_context(
                serving(stack.enter_context(scratch(broker + CONFIG)), flags=["--role", "gateway"])
            )
            for _ in range(2)
        )
        projector = stack.enter_context(_projector(broker))
        pids = [storing.pid, reading.pid, projector, *servers.pids]
        reader = {"role": "fanout", "dialect": "hub", "burst": 1, "subscribers": 1}
        size = {"size": MESSAGE_BYTES}
        stack.enter_context(Child("load", url=reading.url, **reader, **size))
        for waiting in WRITERS:
            setup = {"role": "writers", "count": waiting, **size}
            with Child("load", url=storing.url, **setup) as load:
                load.ask(seconds=SECONDS * scale / 3)  # warm-up
                rounds = [_round(load, pids, SECONDS * scale) for _ in range(ROUNDS)]
            rate, *costs = (statistics.median(each) for each in zip(*rounds, strict=True))
            stores, reads, projects, *brokers = (1e6 * each for each in costs)
            yield Figure(
                what=f"an event of {waiting} writers for the gateway that stores it",
                value=stores,
                unit="µs",
                more=f"another gateway {reads:.0f} µs, projector {projects:.0f} µs,"
                f" servers {', '.join(f'{each:.0f}' for each in sorted(brokers))} µs;"
                f" {rate:,.0f} a second",
            )


@contextmanager
def _projector(broker: str) -> Iterator[int]:
    """Run a projector without any data; return the id of its process."""
    port = free_port()
    config = CONFIG.replace("server: {", f"server: {{admin: {{port: {port}}}, ")
    with scratch(broker + config) as folder:
        hub = hub_of(folder, flags=["--role", "projector"])
        hub.launch()
        assert hub.process is not None
        try:
            until(lambda: _is_ready(f"http://127.0.0.1:{port}/readyz"), seconds=READY_SECONDS)
            yield hub.process.pid
        finally:
            hub.kill()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=READY_SECONDS) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def _round(load: Child, pids: Sequence[int], seconds: float) -> list[float]:
    """Return the events a second, and the CPU seconds of each process for one."""
    before = [own_cpu_seconds(pid) for pid in pids]
    result = load.ask(seconds=seconds)
    time.sleep(SETTLE_SECONDS)
    spent = [own_cpu_seconds(pid) - then for pid, then in zip(pids, before, strict=True)]
    return [result["count"] / result["seconds"], *(each / result["count"] for each in spent)]
