"""Browsers measured: rows in Chromium by both subprotocols and by fetch, and live arrays."""

import shutil
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

from tests.bench.child import Child
from tests.bench.fanout import SUBSCRIBERS, delivered
from tests.bench.figures import Figure, Limit, Rate
from tests.bench.projecting import fill, rebuild
from tests.bench.servers import Server, fresh_hub, scratch, serving
from tests.e2e.conftest import CHROMIUM, CHROMIUM_FLAGS

SIZES = ((5_000, 150.0, 7), (120_000, 1500.0, 3))
"""Rows, the mark in milliseconds, and repetitions."""
TIMES_FETCH = 1.5
BURSTS = ((1, 400), (64, 6_400))
_READ = """
([url, way, protocol]) => new Promise(async (resolve, reject) => {
  const { origin, pathname, search } = new URL(url)
  const [ws, isOpen] = [(address) => address.replace("http", "ws"), way === "v2, open"]
  let socket, rows = []
  if (isOpen) {
    socket = new WebSocket(ws(`${origin}/-/socket`), protocol)
    await new Promise((done) => (socket.onopen = done))
  }
  const began = performance.now()
  if (!protocol) return fetch(url).then((answer) => answer.json())
    .then((all) => resolve([performance.now() - began, all.length]), reject)
  socket ??= new WebSocket(ws(url), protocol)
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
  const query = search.slice(1)
  if (isOpen) socket.send(JSON.stringify({ _subscribe: 1, path: pathname, query }))
})
"""
WAYS = {
    "v2": "eventhub.v2.json",
    "v2 again": "eventhub.v2.json",
    "v2, open": "eventhub.v2.json",
    "v1": "eventhub.v1.json",
    "fetch": "",
}
"""Subprotocols. `fetch` has an open connection, as a page has that subscribes on its socket. The
second of two equal replays is sent as fast as it is taken: what it costs is the browser's part."""
ROUNDS = 3


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
                for way in WAYS:
                    # A filter of its own: equal replays are shared for a second.
                    at = [*WAYS].index(way.removesuffix(" again"))
                    url = f"{server.url}?id!=nobody-{at}-{turn}"
                    found[way].append(_milliseconds(page, url, way, rows))
            browser.close()
    took = {way: statistics.median(each[1:]) for way, each in found.items()}
    what = f"{named:,} rows in Chromium, v2, to `_ready`"
    beside = f"{named:,} rows in Chromium, v2 on an open socket, beside fetch"
    more = ", ".join(f"{way} {value:.0f} ms" for way, value in took.items())
    yield Figure(what=what, value=took["v2"], unit="ms", mark=mark, is_ceiling=True, more=more)
    yield Figure(
        what=beside,
        value=took["v2, open"],
        unit="ms",
        mark=TIMES_FETCH,
        of_limit=True,
        is_ceiling=True,
        limit=Limit(name="fetch", value=took["fetch"]),
    )


def _milliseconds(page: Page, url: str, way: str, rows: int) -> float:
    milliseconds, count = page.evaluate(_READ, [url, way, WAYS[way]])
    assert count == rows, (way, count)
    return float(milliseconds)


def _readers(rows: int) -> Iterator[Figure]:
    """The same replay to programs that do nothing with it, in Python and in C."""
    took: dict[str, list[float]] = {name: [] for name in ("v1", "v2", "v1 in C", "v2 in C")}
    with scratch() as folder:
        fill(folder, rows)
        rebuild(folder)
        reader = _compiled(folder)
        with (
            serving(folder) as server,
            Child("load", role="replay", url=server.url, protocol=WAYS["v1"]) as one,
            Child("load", role="replay", url=server.url, protocol=WAYS["v2"]) as two,
        ):
            for turn in range(4):  # the first is a warm-up
                for name, child in (("v1", one), ("v2", two)):
                    took[name].append(1000 * child.ask(rows=rows)["seconds"])
                    if reader is not None:
                        url = f"{server.url}?id!=nobody-c{turn}"
                        took[f"{name} in C"].append(_read_in_c(reader, url, WAYS[name]))
    for language, (first, second) in {"Python": ("v1", "v2"), "C": ("v1 in C", "v2 in C")}.items():
        if took[first]:
            yield Figure(
                what=f"{SIZES[1][0]:,} rows to a program in {language}, v2",
                value=statistics.median(took[second][1:]),
                unit="ms",
                mark=1.0,
                of_limit=True,
                is_ceiling=True,
                limit=Limit(name="v1", value=statistics.median(took[first][1:])),
            )


def _compiled(folder: Path) -> Path | None:
    """Return the reader in C, compiled; None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    reader = folder / "reader"
    source = Path(__file__).with_name("reader.c")
    subprocess.run([compiler, "-O2", "-o", str(reader), str(source)], check=True, timeout=60)
    return reader


def _read_in_c(reader: Path, url: str, protocol: str) -> float:
    parts = urlsplit(url)
    target = parts._replace(scheme="", netloc="").geturl()
    command = [str(reader), str(parts.port), target, protocol]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return float(ran.stdout.split()[0])


def _live(scale: float) -> Iterator[Figure]:
    """Deliveries to subscribers of each subprotocol."""
    for burst, messages in BURSTS:
        count = max(burst, int(messages * scale))
        found: dict[str, list[Rate]] = {"hub v1": [], "hub v2": []}
        for _ in range(ROUNDS):  # in turns: what else the machine does meets both
            for dialect, rates in found.items():
                servers = partial(_spoken, dialect)
                rates.append(delivered(servers, burst=burst, messages=count))
        first, second = (
            statistics.median(rate.value for rate in rates) for rates in found.values()
        )
        how = "one message at a time" if burst == 1 else f"bursts of {burst}"
        yield Figure(
            what=f"deliveries, {SUBSCRIBERS} subscribers of v2, {how}",
            value=second,
            unit="per CPU second",
            mark=1.0,
            of_limit=True,
            limit=Limit(name="v1", value=first),
            more=found["hub v2"][-1].more,
        )


@contextmanager
def _spoken(dialect: str) -> Iterator[Server]:
    """Run a hub whose subscribers speak one subprotocol."""
    with fresh_hub() as server:
        yield replace(server, dialect=dialect)
