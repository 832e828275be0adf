"""Exports, rebuilt tables and queries of a trimmed log are those of its twin, which is whole."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from tests.e2e.client import get, request
from tests.e2e.command import output, run
from tests.e2e.hub import Hub
from tests.e2e.reload import said
from tests.waiting import until

CONFIG = """
log: {format: json}
url:
  trimmed:
    pattern: /trimmed
    handler: MessageHandler
    kwargs: {columns: {body: TEXT, n: INTEGER}, log: {keep: 1s}}
  whole: {pattern: /whole, handler: MessageHandler, kwargs: {columns: {body: TEXT, n: INTEGER}}}
  sql: {pattern: /sql, handler: SQLHandler, kwargs: {tables: all}}
"""
TABLES = ("trimmed", "whole")
ROWS = 60
EVENTS = 120
COLUMNS = ("_seq", "_created_seq", "_method", "id", "body", "n")


async def write(hub: Hub) -> None:
    """Write the same to both tables: 60 rows, of which 30 are changed and 15 deleted."""
    ids = [f"r{number}" for number in range(ROWS)]
    for table in TABLES:
        for method, messages in (
            ("POST", [{"id": row, "body": row * 20, "n": at} for at, row in enumerate(ids)]),
            ("PUT", [{"id": row, "n": -1} for row in ids[::2]]),
            ("DELETE", [{"id": row} for row in ids[::4]]),
            ("POST", [{"id": row, "n": 5} for row in ids[::4]]),
        ):
            assert (await request(method, f"{hub.url}/{table}", json=messages))[0] == 200


def exported(hub: Hub, table: str, what: str) -> list[dict[str, Any]]:
    """Return what `eventhub export` writes of a table."""
    place = hub.folder / f"{table}{what}"
    shutil.rmtree(place, ignore_errors=True)
    done = run("export", hub.config, table, what, "--to", place, "--data", hub.folder / "data")
    assert done.returncode == 0, done.stderr
    files = sorted(place.rglob("*.parquet")) if place.is_dir() else [place]
    rows = [row for file in files for row in parquet.read_table(file).to_pylist()]
    return [{name: row.get(name) for name in COLUMNS} for row in rows]


def equal_exports(hub: Hub) -> None:
    for what, count in (("--events", EVENTS), ("--rows", ROWS)):
        trimmed, whole = (exported(hub, table, what) for table in TABLES)
        assert trimmed == whole
        assert len(trimmed) == count


async def equal_queries(hub: Hub) -> None:
    for end in ("", "_history"):
        columns = ", ".join(name for name in COLUMNS if end or name != "_method")
        trimmed, whole = [
            await get(f"{hub.url}/sql", sql=f"SELECT {columns} FROM {table}{end} ORDER BY _seq")
            for table in TABLES
        ]
        assert trimmed == whole
        assert len(trimmed) == (EVENTS if end else ROWS)


@pytest.mark.timeout(120)
async def test_a_trimmed_log_gives_what_a_whole_one_gives(tmp_path: Path) -> None:
    (tmp_path / "eventhub.yaml").write_text(CONFIG)
    hub = Hub(tmp_path / "eventhub.yaml", tmp_path, [])
    data = tmp_path / "data"
    hub.start()
    try:
        await write(hub)
        await asyncio.to_thread(
            until, lambda: any(line["last"] == EVENTS for line in said(hub, "stream_trimmed"))
        )
        assert {line["channel"] for line in said(hub, "stream_trimmed")} == {"trimmed"}
        await asyncio.to_thread(equal_exports, hub)
        hub.kill()
        await asyncio.to_thread(shutil.rmtree, data / "sql")  # the queries replay the log
        done = await asyncio.to_thread(run, "rebuild", hub.config, "--data", data)
        assert done.returncode == 0, done.stderr
        await asyncio.to_thread(equal_exports, hub)
        hub.start()
        await equal_queries(hub)
        report = await asyncio.to_thread(output, "verify", hub.config, "--data", data, "--json")
        assert json.loads(report)["equal"], report
    finally:
        hub.kill()
