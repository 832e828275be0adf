"""Fairness measured: what a bystander waits on a hub that is flooded, beside one that is not."""

import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from tests.bench.child import Child
from tests.bench.figures import Figure
from tests.bench.flooding import FLOODS
from tests.bench.servers import CONFIG, fresh_hub

SECONDS = 8.0
HEAD_START_SECONDS = 0.5
"""Of the flood, before the bystander comes."""
ROWS = 20_000
MARK = 2.0
FAIR_CONFIG = (
    CONFIG
    + """
  private:
    pattern: /private
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}, auth: true}
  failing:
    pattern: /failing
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}, prepare: 1 / 0}
  login:
    pattern: /login
    handler: SimpleAuth
    kwargs: {credentials: {ann: a password of a user}}
  sql:
    pattern: /sql
    handler: SQLHandler
    kwargs: {tables: bench}
"""
)


def fair(scale: float, only: str = "") -> Iterator[Figure]:
    """How much longer a bystander waits for an answer, under each flood with `only` in its name."""
    with fresh_hub(FAIR_CONFIG) as attacked, fresh_hub(FAIR_CONFIG) as control:
        urls = [server.url.removesuffix("/bench") for server in (attacked, control)]
        for url in urls:
            fill(url, int(ROWS * scale))
        for name in [each for each in FLOODS if only in each]:
            with (
                Child("flooding", role="flood", url=urls[0], name=name) as flood,
                Child("flooding", role="bystander", urls=urls) as bystander,
                ThreadPoolExecutor(1) as pool,
            ):
                bystander.ask(seconds=0.2)  # warm-up
                seconds = SECONDS * scale
                flooding = pool.submit(flood.ask, seconds=seconds + 2 * HEAD_START_SECONDS)
                time.sleep(HEAD_START_SECONDS)
                measured = bystander.ask(seconds=seconds)
                sent = flooding.result()["bytes"]
            yield _figure(name, measured, sent)


def _figure(name: str, measured: dict[str, Any], sent: int) -> Figure:
    writes, reads = measured["writes"], measured["reads"]
    worst = max(writes[0]["p99"] / writes[1]["p99"], reads[0]["p99"] / reads[1]["p99"])
    return Figure(
        what=f"bystander's wait beside {name}",
        value=worst,
        unit="times",
        mark=MARK,
        is_ceiling=True,
        more=f"a write {_pair(writes)}, a GET {_pair(reads)}; {sent / 1e6:.1f} MB sent",
    )


def _pair(measured: list[dict[str, float]]) -> str:
    """Return median and 99th percentile of both hubs."""
    attacked, control = (f"{each['p50']:.1f} / {each['p99']:.0f}" for each in measured)
    return f"{attacked} ms against {control} ms"


def fill(url: str, rows: int) -> None:
    """POST rows to the endpoint of a hub, in arrays of 2,000."""
    for first in range(0, max(1, rows), 2000):
        body = msgspec.json.encode(
            [
                {"id": f"row{n}", "n": n, "body": "some text " * 10}
                for n in range(first, first + 2000)
            ]
        )
        with urllib.request.urlopen(f"{url}/bench", body, 60) as measured:
            measured.read()
