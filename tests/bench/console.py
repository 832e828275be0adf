"""Console measured: what ten browsers with the console open do to deliveries of a hub."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect, sync_playwright

from tests.bench.child import Child
from tests.bench.dialects import MESSAGE_BYTES
from tests.bench.fanout import RATE, SUBSCRIBERS
from tests.bench.figures import Figure, Limit
from tests.bench.machine import spending
from tests.bench.servers import fresh_hub
from tests.e2e.conftest import CHROMIUM, CHROMIUM_FLAGS

BROWSERS = 10
"""Half of them show the overview, the others the connections."""
MESSAGES = 4_000
REPETITIONS = 3


def console(scale: float) -> Iterator[Figure]:
    """The 99th percentile of a delivery with the console open, and without; and the hub's CPU."""
    messages = max(int(RATE), int(MESSAGES * scale))
    p99: dict[bool, list[float]] = {False: [], True: []}
    cpu: dict[bool, list[float]] = {False: [], True: []}
    with (
        fresh_hub() as server,
        Child(
            "load", role="latency", url=server.url, subscribers=SUBSCRIBERS, size=MESSAGE_BYTES
        ) as load,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        load.ask(messages=int(RATE), rate=RATE)  # warm-up
        for _ in range(REPETITIONS):
            for is_open in (False, True):
                count = BROWSERS if is_open else 0
                with _consoles(browser, server.url, count), spending(server.pid) as spent:
                    result = load.ask(messages=messages, rate=RATE)
                p99[is_open].append(result["p99"])
                cpu[is_open].append(100 * spent.cpu / spent.wall)
        browser.close()
    without, beside = (statistics.median(p99[is_open]) for is_open in (False, True))
    yield Figure(
        what=f"send to receipt, 99th percentile, beside {BROWSERS} open consoles",
        value=beside,
        unit="ms",
        mark=1.2,
        of_limit=True,
        is_ceiling=True,
        limit=Limit(name="without a console, ms", value=without),
        more=f"hub {statistics.median(cpu[True]):.0f} % of a core, without a console"
        f" {statistics.median(cpu[False]):.0f} %",
    )


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
