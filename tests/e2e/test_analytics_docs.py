"""The examples of docs/analytics.md work as they are printed."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import jwt
import polars

from tests.e2e.command import post
from tests.e2e.hub import Hub, HubFactory

PAGE = (Path(__file__).parents[2] / "docs" / "analytics.md").read_text()
PRINTED = "http://127.0.0.1:8080"
SECRET = "0123456789abcdef0123456789abcdef"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def run(code: str, hub: Hub) -> list[str]:
    """Run a block of Python as a script, and return what it printed."""
    token = jwt.encode({"sub": "ann", "exp": int(time.time()) + 36_000}, SECRET)
    done = subprocess.run(
        [sys.executable, "-c", code.replace(PRINTED, hub.url)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TOKEN": token},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def write(hub: Hub) -> None:
    orders = f"{hub.url}/orders"
    post(orders, item="Tea", count=2, price=3.5, paid=True, due="2026-12-01")
    post(orders, item="Cup", count=1, price=8, paid=True, due="2026-12-02")
    post(orders, item="Tea", count=3, price=3.5, paid=False, due="2026-12-03")


def test_the_examples_work_as_printed(hub_factory: HubFactory, tmp_path: Path) -> None:
    [config] = blocks("yaml")
    hub = hub_factory(config)
    write(hub)
    pandas_block, polars_block, query, moment, _ = blocks("python")
    assert run(pandas_block, hub)[1:] == ["Cup    1", "Tea    5", "Name: count, dtype: int64", "1"]
    assert run(polars_block, hub) == ["5"]
    assert run(query, hub) == ["1"]
    assert run(moment, hub) == ["3"]
    # DuckDB's httpfs cannot be installed everywhere: its query runs on a copy of the file.
    [sql] = blocks("sql")
    copy = tmp_path / "orders.parquet"
    polars.read_parquet(f"{hub.url}/orders.parquet").write_parquet(copy)
    query = sql.removeprefix("INSTALL httpfs;\n").replace(f"{PRINTED}/orders.parquet", str(copy))
    assert [(item, float(total)) for item, total in duckdb.connect().execute(query).fetchall()] == [
        ("Cup", 8.0),
        ("Tea", 7.0),
    ]


def test_every_url_of_the_page_is_answered(hub_factory: HubFactory) -> None:
    [config] = blocks("yaml")
    hub = hub_factory(config)
    write(hub)
    urls = re.findall(r"`(?:http://127\.0\.0\.1:8080)?(/orders\.[^`\s]+)`", PAGE)
    assert len(urls) == 6
    for url in urls:
        run(f"from urllib.request import urlopen; urlopen({hub.url + url!r}).read()", hub)


def test_a_login_is_sent_as_the_page_says(hub_factory: HubFactory) -> None:
    [config] = blocks("yaml")
    closed = config.replace("kwargs:\n", "kwargs:\n      auth: true\n")
    *_, block = blocks("python")
    hub = hub_factory(f"auth: {{jwt: {{secret: {SECRET}}}}}\n{closed}")
    assert run(block, hub) == ["0", "0"]
