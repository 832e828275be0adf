"""Whoever asks a dear question and leaves takes nobody's place: its query ends with it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.client import Closed, connect, get, request
from tests.e2e.hub import Hub

CONFIG = """
server: {max_message: 2000000}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs: {columns: {topic: TEXT, body: TEXT}}
"""
ROWS = 30_000
BATCH, FEW = 200, 7
DEAR = "&".join(f"body*=ss{number}ss" for number in range(20))
"""Seconds of work: each of them is looked for in each row, and `ss` may be spelled in many ways."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file, with rows that are wide enough to take a while."""
    folder: Path = tmp_path_factory.mktemp("hub")
    (folder / "eventhub.yaml").write_text(CONFIG)
    hub = Hub(folder / "eventhub.yaml", folder, [])
    hub.start()
    asyncio.run(fill(f"{hub.url}/notes"))
    yield hub
    hub.kill()


async def fill(url: str) -> None:
    for start in range(0, ROWS, BATCH):
        rows = [
            {
                "id": f"r{start + n}",
                "topic": "few" if start + n < FEW else "many",
                "body": "sß" * 500,
            }
            for n in range(BATCH)
        ]
        status, _ = await request("POST", url, json=rows)
        assert status == 200
    assert len(await get(url, topic="few")) == FEW


async def metric(hub: Hub, name: str) -> float:
    """Return what a metric of the hub says, 0 if nothing yet."""
    async with aiohttp.ClientSession() as session, session.get(f"{hub.url}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    return sum(s.value for family in families for s in family.samples if s.name == name)


async def begun(hub: Hub, before: float) -> None:
    """Return when a query more than before runs."""
    async with asyncio.timeout(15):
        while await metric(hub, "eventhub_snapshots_opened_total") <= before:
            await asyncio.sleep(0.02)


async def interrupted(hub: Hub, before: float) -> None:
    """Return when a query more than before was interrupted."""
    async with asyncio.timeout(15):
        while await metric(hub, "eventhub_queries_interrupted_total") <= before:
            await asyncio.sleep(0.02)


async def test_gets_that_are_abandoned_end_with_their_senders(hub: Hub) -> None:
    opened = await metric(hub, "eventhub_snapshots_opened_total")
    ended = await metric(hub, "eventhub_queries_interrupted_total")
    host = urlsplit(hub.url)
    line = f"GET /notes?{DEAR}&topic!=%d HTTP/1.1\r\nHost: {host.netloc}\r\n\r\n"
    writers = []
    for number in range(12):
        _, writer = await asyncio.open_connection(host.hostname, host.port)
        # More requests behind it than are read ahead: its end is seen all the same.
        writer.write((line % number).encode() * 40)
        await writer.drain()
        writers.append(writer)
    await begun(hub, opened)
    # A cheap question has places of its own, also of the same client.
    assert len(await get(f"{hub.url}/notes", topic="few")) == FEW
    for writer in writers:
        writer.close()
    await interrupted(hub, ended)
    assert len(await get(f"{hub.url}/notes", topic="few")) == FEW


@pytest.mark.parametrize("count", [45, 200])
async def test_a_question_that_is_too_dear_is_refused_before_it_is_asked(
    hub: Hub, count: int
) -> None:
    """By what it would look through, and by its number of texts."""
    opened = await metric(hub, "eventhub_snapshots_opened_total")
    values = "&".join(f"body*=ss{number}ss" for number in range(count))
    status, reply = await request("GET", f"{hub.url}/notes?{values}")
    assert (status, reply["_error"]["code"]) == (400, "too_costly")
    async with connect(f"{hub.url}/notes?{values}") as client:
        assert (await client.receive())["_error"]["code"] == "too_costly"
        with pytest.raises(Closed, match="4400"):
            await client.receive()
    if count == 200:
        assert await metric(hub, "eventhub_snapshots_opened_total") == opened


@pytest.mark.parametrize("is_sse", [False, True])
async def test_live_readers_that_leave_end_their_queries(hub: Hub, is_sse: bool) -> None:
    opened = await metric(hub, "eventhub_snapshots_opened_total")
    ended = await metric(hub, "eventhub_queries_interrupted_total")
    url = f"{hub.url}/notes?{DEAR}&topic!={is_sse}"
    if is_sse:
        headers = {"Accept": "text/event-stream"}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers):
            await begun(hub, opened)
    else:
        async with connect(url):
            await begun(hub, opened)
    await interrupted(hub, ended)
    assert len(await get(f"{hub.url}/notes", topic="few")) == FEW
