"""Analysts measured: what four heavy queries at once do to the delivery of messages."""

import statistics
from collections.abc import Iterator

from tests.bench.child import Child
from tests.bench.dialects import MESSAGE_BYTES
from tests.bench.fair import fill
from tests.bench.figures import Figure, Limit, cores
from tests.bench.machine import spending
from tests.bench.servers import CONFIG, fresh_hub

SUBSCRIBERS = 500
RATE = 1_000.0
MESSAGES = 3_000
ROWS = 20_000
REPETITIONS = 5
MARK = 2.0
SQL_CONFIG = (
    CONFIG
    + """
  sql:
    pattern: /sql
    handler: SQLHandler
    kwargs: {tables: bench, auth: true, limits: {seconds: 10}}
auth:
  proxy: {header: X-User, trusted: [127.0.0.1]}
"""
)


def analysts(scale: float) -> Iterator[Figure]:
    """How much later messages come while analysts ask, on the same hub in turns."""
    messages = max(200, int(MESSAGES * scale))
    with fresh_hub(SQL_CONFIG) as server:
        url = server.url.removesuffix("/bench")
        fill(url, int(ROWS * scale))
        with (
            Child(
                "load", role="latency", url=server.url, subscribers=SUBSCRIBERS, size=MESSAGE_BYTES
            ) as load,
            Child("querying", url=f"{url}/sql") as querying,
        ):
            load.ask(messages=int(RATE * scale), rate=RATE)  # warm-up
            quiet, busy, counts, used = [], [], {}, ""
            for _ in range(REPETITIONS):
                quiet.append(load.ask(messages=messages, rate=RATE))
                querying.ask(do="start")
                with spending(server.pid) as spent:
                    busy.append(load.ask(messages=messages, rate=RATE))
                counts = querying.ask(do="stop")["counts"]
                used = cores("hub and queries", spent.cpu, spent.wall)
    with_queries = statistics.median(each["p99"] for each in busy)
    without = statistics.median(each["p99"] for each in quiet)
    yield Figure(
        what=f"99th percentile of delivery, {SUBSCRIBERS} subscribers, {RATE:.0f} writes a second,"
        " beside four analysts",
        value=with_queries,
        unit="ms",
        mark=MARK,
        is_ceiling=True,
        of_limit=True,
        limit=Limit(name="without analysts, ms", value=without),
        more=f"medians {_p50(busy):.1f} and {_p50(quiet):.1f} ms; {used}; answers: "
        + ", ".join(f"{count} {name}" for name, count in counts.items()),
    )


def _p50(measured: list[dict[str, float]]) -> float:
    return statistics.median(each["p50"] for each in measured)
