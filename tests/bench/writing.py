"""Writing measured: acknowledged and fsynced, over WebSocket, and by the writer alone."""

from collections.abc import Iterator
from typing import Any

from tests.bench.child import Child
from tests.bench.dialects import MESSAGE_BYTES
from tests.bench.figures import Figure, Limit, Rate, cores, median_of
from tests.bench.machine import spending
from tests.bench.servers import fresh_hub, scratch

REPETITIONS = 3
SECONDS = 3.0
WAITING = ((8, None, None), (64, 8_000, 15_000), (512, 15_000, 50_000))
"""Writers waiting at a time; marks of a gateway, and of the writer alone, a second."""
EVENTS_PER_WAITING = 200


def writes(scale: float) -> Iterator[Figure]:
    """Messages a second that were answered, each writer waiting for its answer."""
    for waiting, mark, _ in WAITING:
        rate = acknowledged(waiting, seconds=SECONDS * scale)
        yield Figure(
            what=f"acknowledged writes over WebSocket, {waiting} writers",
            value=rate.value,
            unit="a second",
            mark=mark,
            limit=_raw_limit(waiting, scale),
            more=rate.more,
        )


def appends(scale: float) -> Iterator[Figure]:
    """The same without a gateway: tasks of one process that append events."""
    for waiting, _, mark in WAITING:
        result = logged("append", appenders=waiting, events=events_for(waiting, scale))
        yield Figure(
            what=f"acknowledged writes of the writer alone, {waiting} appenders",
            value=result["rate"],
            unit="a second",
            mark=mark,
            limit=_raw_limit(waiting, scale),
            more=f"{result['count'] / result['cpu']:,.0f} per CPU second",
        )


def acknowledged(waiting: int, *, seconds: float, size: int = MESSAGE_BYTES) -> Rate:
    """Return the writes a second of a gateway."""
    with (
        fresh_hub() as server,
        Child("load", role="writers", url=server.url, count=waiting, size=size) as load,
    ):
        load.ask(seconds=seconds / 3)  # warm-up
        more = ""

        def measure() -> float:
            nonlocal more
            with spending(server.pid) as spent:
                result = load.ask(seconds=seconds)
            more = (
                f"median {result['p50']:.1f} ms, 99th percentile {result['p99']:.1f} ms;"
                f" {result['count'] / spent.cpu:,.0f} per CPU second;"
                f" {cores('load', result['load_cpu'], result['seconds'])}"
            )
            return float(result["count"] / result["seconds"])

        return Rate(median_of(REPETITIONS, measure), more)


def logged(work: str, *, size: int = MESSAGE_BYTES, **question: Any) -> dict[str, Any]:
    """Return what work on fresh logs tells, with the median `rate` of events a second."""
    result: dict[str, Any] = {}

    def measure() -> float:
        nonlocal result
        with scratch() as folder, Child("log_work", work=work, folder=str(folder)) as child:
            result = child.ask(size=size, **question)
        return float(result["count"] / result["seconds"])

    return {"rate": median_of(REPETITIONS, measure), **result}


def events_for(waiting: int, scale: float) -> int:
    """Return how many events make a measurement of a second or so."""
    return int(max(waiting, waiting * EVENTS_PER_WAITING * scale))


def _raw_limit(waiting: int, scale: float) -> Limit:
    result = logged("raw_commit", waiting=waiting, events=events_for(waiting, scale))
    return Limit(name="raw group commit", value=result["rate"])
