"""A process without tables begins with a projector's, and shows what the log would have given."""

import asyncio
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.client import connect, get, request
from tests.e2e.command import GOOD, output
from tests.e2e.hub import Hub, HubFactory
from tests.e2e.reload import said
from tests.nats_server import nats_server
from tests.s3_server import KEYS, URL, S3Server, s3_server
from tests.waiting import until

CONFIG = """
log: {{format: json}}
broker: {{url: "{url}"}}
projection: {{snapshots: {{{to}, every: {every}}}}}
server: {{admin: {{port: 0}}}}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs: {{columns: {{body: TEXT, n: INTEGER}}}}
{sql}  other: {{pattern: /other, handler: MessageHandler, kwargs: {{columns: {{body: TEXT}}}}}}
"""
SQL = "  sql: {pattern: /sql, handler: SQLHandler, kwargs: {tables: [notes]}}\n"
EVERY = 200
EVENTS = 450
"""Of 300 rows, half of which are changed or deleted."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "nats"
    config = {"max_payload": 9_000_000, "jetstream": {"store_dir": str(folder)}}
    with nats_server(folder, config) as url:
        yield url


class Site:
    """A projector and gateways of one log."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.to = "to: broker"
        self.every = EVERY
        self.sql = ""
        self._url = url
        self._hubs: list[Hub] = []

    def part(self, role: str, name: str = "", program: Sequence[str] = ("eventhub",)) -> Hub:
        """Return a process with a role, which is not started."""
        folder = self.folder / (name or role)
        folder.mkdir()
        text = CONFIG.format(url=self._url, to=self.to, every=self.every, sql=self.sql)
        (folder / "eventhub.yaml").write_text(text)
        self._hubs.append(Hub(folder / "eventhub.yaml", folder, ["--role", role], program))
        return self._hubs[-1]

    def kill(self) -> None:
        for hub in self._hubs:
            if hub.process is not None:
                hub.kill()


@pytest.fixture
def site(tmp_path: Path, server: str) -> Iterator[Site]:
    made = Site(tmp_path, server)
    yield made
    made.kill()


async def write(hub: Hub, first: int, last: int) -> None:
    """Post rows, change a quarter of them, and delete another quarter."""
    ids = [f"r{number}" for number in range(first, last)]
    rows = [{"id": row, "body": row * 20, "n": number} for number, row in enumerate(ids)]
    assert (await request("POST", f"{hub.url}/notes", json=rows))[0] == 200
    changes = [{"id": row, "n": -1} for row in ids[::4]]
    assert (await request("PUT", f"{hub.url}/notes", json=changes))[0] == 200
    gone = [{"id": row} for row in ids[2::4]]
    assert (await request("DELETE", f"{hub.url}/notes", json=gone))[0] == 200


async def everything(hub: Hub) -> dict[str, Any]:
    """Return what a gateway shows: rows, rows as of an event, and all versions of two rows."""
    url = f"{hub.url}/notes"
    found = {"rows": await get(url), "past": await get(url, _as_of="250")}
    for row in ("r0", "r2"):
        found[row] = await get(url, id=row, _history="")
    return found


def projected(hub: Hub) -> int:
    """Return how many events a gateway has read from the log into the table."""
    return sampled(hub, "eventhub_events_projected_total")


def follows(hub: Hub) -> bool:
    """Tell whether a gateway follows the table."""
    return sampled(hub, "eventhub_followed") > 0


def sampled(hub: Hub, name: str) -> int:
    """Return a metric of the table; 0 if there is none."""
    with urlopen(f"{hub.url}/metrics") as answer:
        text = answer.read().decode()
    samples = [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels["channel"] == "notes"
    ]
    return int(sum(sample.value for sample in samples))


async def stored(projector: Hub, least: int) -> dict[str, Any]:
    """Wait for a snapshot that holds so many events; return its log line."""

    def found() -> dict[str, Any] | None:
        lines = said(projector, "snapshot_stored")
        return next((line for line in lines if line["tables"]["notes"] >= least), None)

    line = await asyncio.to_thread(until, found)
    assert line is not None
    return line


def emptied(hub: Hub) -> Hub:
    """Empty the data folder of a process that has ended."""
    shutil.rmtree(hub.folder / "data")
    return hub


def verified(hub: Hub) -> None:
    """Prove all tables of a running process."""
    report = json.loads(output("verify", hub.config, "--data", hub.folder / "data", "--json"))
    assert report["equal"], report


def parts_in(folder: Path) -> list[Path]:
    return [*folder.glob("*.duckdb.*")] if folder.exists() else []


def in_s3(store: S3Server) -> str:
    """Return the keys of `snapshots:` for a store."""
    key_id, secret = KEYS
    keys = f"access_key_id: {key_id}, secret_access_key: '{secret}'"
    return f"to: '{URL}', endpoint: '{store.endpoint}', {keys}"


def without_tables(hub: Hub) -> None:
    """Remove the tables of a hub that has ended."""
    for end in ("", ".wal"):
        (hub.folder / "data" / f"projection.duckdb{end}").unlink(missing_ok=True)


async def test_an_emptied_gateway_shows_what_it_showed_and_reads_only_the_rest(site: Site) -> None:
    projector, gateway = site.part("projector"), site.part("gateway")
    projector.launch()
    await asyncio.to_thread(gateway.start)
    await write(gateway, 0, 300)
    line = await stored(projector, EVENTS - EVERY)
    await write(gateway, 300, 340)
    before = await everything(gateway)
    assert await asyncio.to_thread(gateway.stop) == 0
    emptied(gateway)
    await asyncio.to_thread(gateway.start)
    loaded = said(gateway, "snapshot_loaded")[-1]
    assert loaded["snapshot"] == line["snapshot"]
    assert loaded["tables"].keys() == {"notes", "other"}
    assert await everything(gateway) == before
    assert 0 < await asyncio.to_thread(projected, gateway) < EVERY
    async with connect(f"{gateway.url}/notes") as client:
        await client.replay()
        assert (await request("POST", f"{gateway.url}/notes", json={"id": "new"}))[0] == 201
        await client.until(lambda frame: frame.get("id") == "new")
    await asyncio.to_thread(verified, gateway)


async def test_a_single_hub_uses_whole_snapshots_in_a_folder_and_reports_damaged_ones(
    hub_factory: HubFactory, tmp_path: Path
) -> None:
    snapshots = tmp_path / "snapshots"
    text = f"projection: {{snapshots: {{to: {snapshots}, every: {EVERY}}}}}\n"
    hub = await asyncio.to_thread(hub_factory, text + GOOD)
    await write(hub, 0, 300)
    await stored(hub, EVENTS - EVERY)
    before = await everything(hub)
    await asyncio.to_thread(hub.kill)
    without_tables(hub)
    await asyncio.to_thread(hub.start)
    assert len(said(hub, "snapshot_loaded")) == 1
    assert await everything(hub) == before
    assert await asyncio.to_thread(projected, hub) < EVERY
    await asyncio.to_thread(verified, hub)
    await asyncio.to_thread(hub.kill)
    for path in parts_in(snapshots):
        path.write_bytes(path.read_bytes()[:-1])
    without_tables(hub)
    await asyncio.to_thread(hub.start)
    assert len(said(hub, "snapshot_loaded")) == 1
    assert "has another checksum" in said(hub, "snapshot_refused")[0]["reason"]
    assert await everything(hub) == before
    assert await asyncio.to_thread(projected, hub) == EVENTS


async def test_kills_while_snapshots_are_stored_and_loaded_lose_nothing(site: Site) -> None:
    snapshots = site.folder / "snapshots"
    site.to, site.every = f"to: {snapshots}", 1
    projector, gateway = site.part("projector"), site.part("gateway")
    await asyncio.to_thread(projector.launch)
    await asyncio.to_thread(gateway.start)
    await write(gateway, 0, 150)
    await asyncio.to_thread(until, lambda: parts_in(snapshots))
    await asyncio.to_thread(projector.kill)
    await write(gateway, 150, 300)
    await asyncio.to_thread(projector.launch)
    await stored(projector, EVENTS)
    before = await everything(gateway)
    await asyncio.to_thread(gateway.kill)
    emptied(gateway)
    partial = gateway.folder / "data" / ".projection.duckdb.partial"
    await asyncio.to_thread(gateway.launch)
    await asyncio.to_thread(until, lambda: partial.exists() or said(gateway, "snapshot_loaded"))
    await asyncio.to_thread(gateway.kill)
    await asyncio.to_thread(gateway.start)
    assert not partial.exists()
    assert await everything(gateway) == before
    await asyncio.to_thread(verified, gateway)


@pytest.mark.timeout(120)  # five processes are started
async def test_a_gateway_begins_with_snapshots_in_s3_and_with_the_log_if_the_store_is_away(
    site: Site,
) -> None:
    with s3_server(site.folder / "s3") as store:
        site.to = in_s3(store)
        projector, gateway = site.part("projector"), site.part("gateway")
        projector.launch()
        await asyncio.to_thread(gateway.start)
        await write(gateway, 0, 300)
        line = await stored(projector, EVENTS - EVERY)
        assert (store.objects / f"{line['snapshot']}.json").exists()
        before = await everything(gateway)
        await asyncio.to_thread(gateway.kill)
        await asyncio.to_thread(emptied(gateway).start)
        assert said(gateway, "snapshot_loaded")[-1]["tables"].keys() == {"notes", "other"}
        assert await asyncio.to_thread(projected, gateway) < EVERY
        assert await everything(gateway) == before
    await write(gateway, 300, 600)
    [failed] = await asyncio.to_thread(until, lambda: said(projector, "snapshot_not_stored"))
    assert f"{URL} at {store.endpoint} cannot be " in failed["reason"]
    before = await everything(gateway)
    await asyncio.to_thread(gateway.kill)
    await asyncio.to_thread(emptied(gateway).start)
    unavailable = said(gateway, "snapshots_unavailable")[0]
    assert "Connection refused" in unavailable["reason"]
    assert await everything(gateway) == before


async def test_a_table_that_rested_wakes_with_a_snapshot_and_without_a_whole_one(
    site: Site,
) -> None:
    snapshots = site.folder / "snapshots"
    site.to = f"to: {snapshots}"
    resting = ("tests.e2e.soon_resting", "0.3")
    projector, gateway = site.part("projector"), site.part("gateway", program=resting)
    projector.launch()
    await asyncio.to_thread(gateway.start)
    await write(gateway, 0, 300)
    await stored(projector, EVENTS - EVERY)
    assert said(gateway, "snapshot_loaded") == []
    async with connect(f"{gateway.url}/notes") as client:
        await client.replay()
        [loaded] = said(gateway, "snapshot_loaded")
        assert 0 < loaded["tables"]["notes"] == EVENTS - loaded["events_left"]
        assert await asyncio.to_thread(projected, gateway) < EVERY
        await write(gateway, 300, 304)
        await client.until(lambda frame: frame.get("id") == "r302" and "n" not in frame)
        assert [*client.table.values()] == await get(f"{gateway.url}/notes")
    await asyncio.to_thread(verified, gateway)
    await asyncio.to_thread(until, lambda: not follows(gateway))
    await write(gateway, 304, 604)
    await stored(projector, 2 * EVENTS - EVERY)
    for path in parts_in(snapshots):
        path.write_bytes(path.read_bytes()[:-1])
    rows = await get(f"{gateway.url}/notes")
    assert {row["id"] for row in rows} == {f"r{n}" for n in range(604) if n % 4 != 2}
    assert "has another checksum" in said(gateway, "snapshot_refused")[0]["reason"]
    assert len(said(gateway, "snapshot_loaded")) == 1
    await asyncio.to_thread(verified, gateway)


async def test_the_queries_of_an_emptied_gateway_begin_with_a_snapshot(site: Site) -> None:
    site.sql = SQL
    projector, gateway = site.part("projector"), site.part("gateway")
    projector.launch()
    await asyncio.to_thread(gateway.start)
    await write(gateway, 0, 300)
    await stored(projector, EVENTS - EVERY)
    asked = {"sql": "SELECT count(*) AS events, sum(n) AS n, max(_seq) AS last FROM notes_history"}
    before = await get(f"{gateway.url}/sql", **asked)
    assert await asyncio.to_thread(gateway.stop) == 0
    emptied(gateway)
    await asyncio.to_thread(gateway.start)
    assert await get(f"{gateway.url}/sql", **asked) == before
    both = said(gateway, "snapshot_loaded")
    assert [line["tables"].keys() for line in both] == [
        {"notes": 0, "other": 0}.keys(),
        {"notes": 0}.keys(),
    ]
    folder = gateway.folder / "data" / "sql"
    assert not [path for path in folder.rglob("*") if ".advance-" in str(path)]
