"""Browsers measured: rows in Chromium by both subprotocols and by fetch, and live arrays."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.bench.child import Child
from tests.bench.fanout import SUBSCRIBERS, delivered
from tests.bench.figures import Figure, Limit
from tests.bench.projecting import fill, rebuild
from tests.bench.servers import Server, fresh_hub, scratch, serving
from tests.e2e.conftest import CHROMIUM, CHROMIUM_FLAGS

SIZES = ((5_000, 150.0, 7), (120_000, 1500.0, 3))
"""Rows, the mark in milliseconds, and repetitions."""
TIMES_FETCH = 1.5
BURSTS = ((1, 400), (64, 6_400))
_READ = """
([url, protocol]) => new Promise((resolve, reject) => {
  const began = performance.now()
  let rows = []
  if (!protocol) return fetch(url).then((answer) => answer.json())
    .then((all) => resolve([performance.now() - began, all.length]), reject)
  const socket = new WebSocket(url.replace("http", "ws"), protocol)
  socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`))
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data)
    if (frame._rows) rows.push(...frame._rows)
    else if (frame._method) rows.push(frame)
    else if (frame._ready) {
      socket.onclose = null
      resolve([performance.now() - began, rows.length])
      socket.close()
    }
  }
})
"""
WAYS = {"v2": "eventhub.v2.json", "v1": "eventhub.v1.json", "fetch": ""}


def wire(scale: float) -> Iterator[Figure]:
    """Rows to `_ready` in Chromium, beside `fetch` of the same rows; then live arrays."""
    for rows, mark, repetitions in SIZES:
        yield from _replayed(rows, max(1, int(rows * scale)), mark, repetitions)
    yield from _readers(int(SIZES[1][0] * scale))
    yield from _live(scale)


def _replayed(named: int, rows: int, mark: float, repetitions: int) -> Iterator[Figure]:
    with scratch() as folder:
        fill(folder, rows)
        rebuild(folder)
        with serving(folder) as server, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
            page = browser.new_page()
            page.goto(f"{server.url}?_limit=1&_format=json")
            found: dict[str, list[float]] = {way: [] for way in WAYS}
            for turn in range(repetitions + 1):  # the first is a warm-up
                for way, protocol in WAYS.items():
                    # A filter of its own: equal replays are shared for a second.
                    url = f"{server.url}?id!=nobody-{way}-{turn}"
                    found[way].append(_milliseconds(page, url, protocol, rows))
            browser.close()
    took = {way: statistics.median(each[1:]) for way, each in found.items()}
    what = f"{named:,} rows in Chromium, v2, to `_ready`"
    more = ", ".join(f"{way} {value:.0f} ms" for way, value in took.items())
    yield Figure(what=what, value=took["v2"], unit="ms", mark=mark, is_ceiling=True, more=more)
    yield Figure(
        what=f"{what}, beside fetch",
        value=took["v2"],
        unit="ms",
        mark=TIMES_FETCH,
        of_limit=True,
        is_ceiling=True,
        limit=Limit(name="fetch", value=took["fetch"]),
    )


def _milliseconds(page: Page, url: str, protocol: str, rows: int) -> float:
    milliseconds, count = page.evaluate(_READ, [url, protocol])
    assert count == rows, (protocol, count)
    return float(milliseconds)


def _readers(rows: int) -> Iterator[Figure]:
    """The same replay to a program that does nothing with it."""
    took: dict[str, list[Any]] = {"v1": [], "v2": []}
    with scratch() as folder:
        fill(folder, rows)
        rebuild(folder)
        with (
            serving(folder) as server,
            Child("load", role="replay", url=server.url, protocol=WAYS["v1"]) as one,
            Child("load", role="replay", url=server.url, protocol=WAYS["v2"]) as two,
        ):
            for _ in range(4):
                took["v1"].append(one.ask(rows=rows)["seconds"])
                took["v2"].append(two.ask(rows=rows)["seconds"])
    first, second = (1000 * statistics.median(each[1:]) for each in took.values())
    yield Figure(
        what=f"{SIZES[1][0]:,} rows to a program, v2",
        value=second,
        unit="ms",
        mark=1.0,
        of_limit=True,
        is_ceiling=True,
        limit=Limit(name="v1", value=first),
    )


def _live(scale: float) -> Iterator[Figure]:
    """Deliveries to subscribers of each subprotocol."""
    for burst, messages in BURSTS:
        count = max(burst, int(messages * scale))
        rates = {}
        for dialect in ("hub v1", "hub v2"):
            rates[dialect] = delivered(partial(_spoken, dialect), burst=burst, messages=count)
        how = "one message at a time" if burst == 1 else f"bursts of {burst}"
        yield Figure(
            what=f"deliveries, {SUBSCRIBERS} subscribers of v2, {how}",
            value=rates["hub v2"].value,
            unit="per CPU second",
            mark=1.0,
            of_limit=True,
            limit=Limit(name="v1", value=rates["hub v1"].value),
            more=rates["hub v2"].more,
        )


@contextmanager
def _spoken(dialect: str) -> Iterator[Server]:
    """Run a hub whose subscribers speak one subprotocol."""
    with fresh_hub() as server:
        yield replace(server, dialect=dialect)
