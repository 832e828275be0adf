"""Console measured: what ten browsers with the console open do to deliveries of a hub."""

import os
import statistics
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

from playwright.sync_api import Browser, expect, sync_playwright

from tests.bench.child import Child
from tests.bench.dialects import MESSAGE_BYTES
from tests.bench.fanout import RATE, SUBSCRIBERS
from tests.bench.figures import Figure, Limit
from tests.bench.machine import Spent, spending, tree
from tests.bench.servers import Server, fresh_hub
from tests.e2e.conftest import CHROMIUM, CHROMIUM_FLAGS

BROWSERS = 10
"""Half of them show the overview, the others the connections."""
LOWEST_PRIORITY = 19
MESSAGES = 4_000
PLACES = ("nowhere", "elsewhere", "here")
"""Where the consoles are open: at another hub on the machine, or at the one that is measured."""
REPETITIONS = 3


def console(scale: float) -> Iterator[Figure]:
    """The 99th percentile of a delivery with the console open here, elsewhere, and nowhere.

    Browsers take time of the machine, which a hub on it then lacks. In life they have machines of
    their own, so here they have the lowest priority; what is left of their part is in the control:
    the same browsers have the console of another hub on this machine open.

    Both hubs have the same load and subscribers all the time, wherever the consoles are open: the
    pages of both draw the same, and the machine has as much to do. Each round has another order.
    """
    messages = max(int(RATE), int(MESSAGES * scale))
    p99: dict[str, list[float]] = {place: [] for place in PLACES}
    cpu: dict[str, list[float]] = {place: [] for place in PLACES}
    drawing: dict[str, list[float]] = {place: [] for place in PLACES}
    with (
        fresh_hub() as server,
        fresh_hub() as other,
        _load(server) as load,
        _load(other) as beside,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        chromium = _chromium()
        for process in tree(chromium):
            process.nice(LOWEST_PRIORITY)  # later ones are their children
        _ask_both(load, beside, int(RATE))  # warm-up
        for repetition in range(REPETITIONS):
            first = repetition % len(PLACES)
            for place in PLACES[first:] + PLACES[:first]:
                count = 0 if place == "nowhere" else BROWSERS
                url = other.url if place == "elsewhere" else server.url
                with (
                    _consoles(browser, url, count),
                    spending(server.pid) as spent,
                    spending(chromium) if count else nullcontext(Spent()) as drawn,
                ):
                    result = _ask_both(load, beside, messages)
                p99[place].append(result)
                cpu[place].append(100 * spent.cpu / spent.wall)
                if count:
                    drawing[place].append(100 * drawn.cpu / drawn.wall)
        browser.close()
    middle = {place: statistics.median(values) for place, values in p99.items()}
    shares = ", ".join(f"{place} {statistics.median(cpu[place]):.0f} %" for place in PLACES)
    drawn_shares = ", ".join(
        f"{place} {statistics.median(values):.0f} %" for place, values in drawing.items() if values
    )
    yield Figure(
        what=f"send to receipt, 99th percentile, beside {BROWSERS} open consoles",
        value=middle["here"],
        unit="ms",
        mark=1.2,
        of_limit=True,
        is_ceiling=True,
        limit=Limit(name="beside as many of another hub, ms", value=middle["elsewhere"]),
        more=f"{middle['nowhere']:.1f} ms without a console; the hub's share of a core: {shares};"
        f" Chromium's: {drawn_shares}",
    )


def _load(server: Server) -> Child:
    return Child(
        "load", role="latency", url=server.url, subscribers=SUBSCRIBERS, size=MESSAGE_BYTES
    )


def _ask_both(load: Child, beside: Child, messages: int) -> float:
    """Send to both hubs at the same time; return the 99th percentile of the first, in ms."""
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(beside.ask, messages=messages, rate=RATE)
        p99: float = load.ask(messages=messages, rate=RATE)["p99"]
        other.result()
    return p99


def _chromium() -> int:
    """Return the process that all others of the browser come from: the oldest of them."""
    ours = [process for process in tree(os.getpid()) if "chrom" in process.name()]
    return min(ours, key=lambda process: process.create_time()).pid


@contextmanager
def _consoles(browser: Browser, url: str, count: int) -> Iterator[None]:
    contexts = [browser.new_context() for _ in range(count)]
    try:
        for number, context in enumerate(contexts):
            page = context.new_page()
            page.goto(f"{url.rpartition('/')[0]}/-/#/{('overview', 'connections')[number % 2]}")
            expect(page.get_by_role("heading", level=1)).to_be_focused(timeout=30_000)
        yield
    finally:
        for context in contexts:
            context.close()
