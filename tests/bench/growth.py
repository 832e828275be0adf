"""Growth: how the cost grows with subscribers, filters, rows, events and the size of messages."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.fanout import Servers, cost_beside, delivered
from tests.bench.plots import Curve, Plot, save
from tests.bench.projecting import fill, rebuild
from tests.bench.reading import replayed
from tests.bench.servers import bare_loop, fresh_hub, nats_websocket, scratch
from tests.bench.writing import acknowledged, events_for, logged

SUBSCRIBERS = (10, 50, 200, 500, 1_000, 2_000)
DELIVERIES = 200_000
"""In one repetition, however many subscribers share them."""
FILTERS = (0, 20, 200, 1_000, 2_000)
FILTER_MESSAGES = 6_400
ROWS = (1_000, 10_000, 100_000, 300_000)
EVENTS = (10_000, 100_000, 300_000, 1_000_000)
SIZES = (111, 300, 1_024, 4_096)
"""Bytes; the first is the least that a message can have."""
BURST = 8
WAITING = 64
SECONDS = 1.5


def draw(scale: float, folder: Path) -> None:
    """Measure, and write a plot for each question."""
    for measure in (
        _by_subscribers,
        _by_filters,
        _by_rows,
        _by_events,
        _deliveries_by_size,
        _writes_by_size,
    ):
        plot = measure(scale)
        path = save(plot, folder)
        print(path)
        for curve in plot.curves:
            points = ", ".join(f"{x:,.0f}: {y:.3g}" for x, y in curve.points)
            print(f"  {curve.name}: {points}", flush=True)


def _by_subscribers(scale: float) -> Plot:
    def cost(servers: Servers, burst: int) -> Callable[[int], float]:
        def measure(subscribers: int) -> float:
            messages = max(burst, int(DELIVERIES * scale) // subscribers // burst * burst)
            rate = delivered(servers, burst=burst, messages=messages, subscribers=subscribers)
            return 1e6 / rate.value

        return measure

    curves = [
        Curve("hub, one at a time", _points(SUBSCRIBERS, cost(fresh_hub, 1))),
        Curve("hub, bursts of 64", _points(SUBSCRIBERS, cost(fresh_hub, 64))),
        Curve(
            "nats-server's WebSocket, one at a time", _points(SUBSCRIBERS, cost(nats_websocket, 1))
        ),
        Curve("bare aiohttp loop, one at a time", _points(SUBSCRIBERS, cost(bare_loop, 1))),
    ]
    title = "Cost of a delivery by number of subscribers"
    return Plot("performance-subscribers", title, "subscribers", "µs of CPU a delivery", curves)


def _by_filters(scale: float) -> Plot:
    messages = max(64, int(FILTER_MESSAGES * scale))
    points = _points(FILTERS, lambda count: 1e6 * cost_beside(count, messages))
    title = "Cost of a message by number of other filters"
    curves = [Curve("hub, bursts of 64", points)]
    return Plot(
        "performance-filters", title, "distinct filters", "µs of CPU a message", curves, log_x=False
    )


def _by_rows(scale: float) -> Plot:
    measured = [(rows, replayed(rows)) for rows in _sizes(ROWS, scale)]
    curves = [
        Curve("hub", [(rows, 1000 * rows / per_second) for rows, (_, per_second, _) in measured]),
    ]
    title = "Replay to a new connection by number of rows"
    return Plot("performance-replay", title, "rows", "ms", curves, log_y=True)


def _by_events(scale: float) -> Plot:
    points = _points(_sizes(EVENTS, scale), _rebuilt)
    title = "Rebuild of the projection by number of events"
    curves = [Curve("`eventhub rebuild`, its start included", points)]
    return Plot("performance-rebuild", title, "events", "s", curves, log_y=True)


def _rebuilt(events: int) -> float:
    with scratch() as folder:
        fill(folder, events)
        return rebuild(folder)


def _deliveries_by_size(scale: float) -> Plot:
    def rate(servers: Callable[[int], Servers]) -> Callable[[int], float]:
        messages = max(BURST, int(1_600 * scale) // BURST * BURST)
        return lambda size: (
            delivered(servers(size), burst=BURST, messages=messages, size=size).value
        )

    curves = [
        Curve("hub", _points(SIZES, rate(lambda _: fresh_hub))),
        Curve("nats-server's WebSocket", _points(SIZES, rate(lambda _: nats_websocket))),
        Curve("bare aiohttp loop", _points(SIZES, rate(lambda size: lambda: bare_loop(size)))),
    ]
    title = f"Deliveries by size of message, 500 subscribers, bursts of {BURST}"
    return Plot("performance-size-deliveries", title, "bytes", "deliveries per CPU second", curves)


def _writes_by_size(scale: float) -> Plot:
    events = events_for(WAITING, scale)

    def over_websocket(size: int) -> float:
        return acknowledged(WAITING, seconds=SECONDS * scale, size=size).value

    def alone(size: int) -> float:
        return float(logged("append", appenders=WAITING, events=events, size=size)["rate"])

    def raw(size: int) -> float:
        return float(logged("raw_commit", waiting=WAITING, events=events, size=size)["rate"])

    curves = [
        Curve("over WebSocket", _points(SIZES, over_websocket)),
        Curve("the writer alone", _points(SIZES, alone)),
        Curve("raw group commit", _points(SIZES, raw)),
    ]
    title = f"Acknowledged writes by size of message, {WAITING} waiting"
    return Plot("performance-size-writes", title, "bytes", "writes a second", curves)


def _points(values: Sequence[int], measure: Callable[[int], float]) -> list[tuple[float, float]]:
    return [(value, measure(value)) for value in values]


def _sizes(sizes: Sequence[int], scale: float) -> list[int]:
    return [max(100, int(size * scale)) for size in sizes]
