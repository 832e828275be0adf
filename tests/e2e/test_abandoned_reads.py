"""Work for a client ends when the client leaves: queries, polls that wait, searches of the log."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.client import Closed, connect, get, request
from tests.e2e.hub import Hub, running_hub

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
"""Seconds of work: each text is searched for in each row, and `ss` has many spellings."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file, with rows wide enough to take a while."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        asyncio.run(fill(f"{hub.url}/notes"))
        yield hub


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
    """Return the value of a metric of the hub, 0 if it has none yet."""
    async with aiohttp.ClientSession() as session, session.get(f"{hub.url}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    return sum(s.value for family in families for s in family.samples if s.name == name)


async def begun(hub: Hub, before: float) -> None:
    """Return when one more query than before was started."""
    async with asyncio.timeout(40):
        while await metric(hub, "eventhub_snapshots_opened_total") <= before:
            await asyncio.sleep(0.02)


async def interrupted(hub: Hub, before: float) -> None:
    """Return when one more query than before was interrupted."""
    async with asyncio.timeout(40):
        while await metric(hub, "eventhub_queries_interrupted_total") <= before:
            await asyncio.sleep(0.02)


async def test_gets_end_when_their_clients_leave(hub: Hub) -> None:
    opened = await metric(hub, "eventhub_snapshots_opened_total")
    ended = await metric(hub, "eventhub_queries_interrupted_total")
    host = urlsplit(hub.url)
    line = f"GET /notes?{DEAR}&topic!=%d HTTP/1.1\r\nHost: {host.netloc}\r\n\r\n"
    writers = []
    for number in range(12):
        _, writer = await asyncio.open_connection(host.hostname, host.port)
        # The hub notices the end although more requests are queued than it reads ahead.
        writer.write((line % number).encode() * 40)
        await writer.drain()
        writers.append(writer)
    await begun(hub, opened)
    # A cheap query has slots of its own, also that of the same client.
    assert len(await get(f"{hub.url}/notes", topic="few")) == FEW
    for writer in writers:
        writer.close()
    await interrupted(hub, ended)
    assert len(await get(f"{hub.url}/notes", topic="few")) == FEW


@pytest.mark.parametrize("count", [45, 200])
async def test_a_query_that_is_too_costly_is_refused_before_it_runs(hub: Hub, count: int) -> None:
    """Its cost is the amount of data that it searches, or its number of texts."""
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
async def test_the_query_of_a_live_reader_ends_when_the_reader_leaves(
    hub: Hub, is_sse: bool
) -> None:
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


async def send_and_keep(hub: Hub, path: str, times: int = 1) -> asyncio.StreamWriter:
    """Send a GET on a connection of its own, several times without waiting for an answer."""
    host = urlsplit(hub.url)
    _, writer = await asyncio.open_connection(host.hostname, host.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host.netloc}\r\n\r\n".encode() * times)
    await writer.drain()
    return writer


@pytest.mark.parametrize("times", [1, 40])
async def test_a_poll_that_waits_ends_when_its_client_leaves(hub: Hub, times: int) -> None:
    """Its filter weighs nothing then, also if more requests are queued behind it."""

    def poll(number: int, wait: int) -> str:
        texts = "&".join(f"topic~={times}-{number}-{text}" for text in range(50))
        return f"/notes?_since=now&_wait={wait}&{texts}"

    async def is_refused() -> bool:
        status, reply = await request("GET", hub.url + poll(0, 0))
        assert status == 200 or reply["_error"]["code"] == "too_many_reads"
        return bool(status != 200)

    writers: list[asyncio.StreamWriter] = []
    async with asyncio.timeout(30):  # far less than the polls wait
        while not await is_refused():
            writers.append(await send_and_keep(hub, poll(len(writers) + 1, 60), times))
        for writer in writers:
            writer.close()
        while await is_refused():
            await asyncio.sleep(0.02)
    assert len(writers) > 1


@pytest.mark.parametrize("surface", ["get", "sse", "websocket"])
async def test_a_search_for_the_last_events_ends_when_its_client_leaves(
    hub: Hub, surface: str
) -> None:
    """A client has one search at a time, so its next one starts when the slot is free."""
    assert hub.process is not None
    process = psutil.Process(hub.process.pid)

    def cpu_seconds() -> float:
        times = process.cpu_times()
        return times.user + times.system

    async def search(query: str) -> float:
        before = cpu_seconds()
        status, _ = await request("GET", f"{hub.url}/notes?_since=-5&{query}")
        assert status == 200
        return cpu_seconds() - before

    texts = f"{DEAR.partition('&body*=ss7ss')[0]}&topic!={surface}"
    path = f"/notes?_since=-5&{texts}"
    cheap = await search("topic=few")
    whole = await search(texts)
    before = cpu_seconds()

    async def has_started() -> None:
        async with asyncio.timeout(30):
            while cpu_seconds() < before + whole / 10:
                await asyncio.sleep(0.01)

    async with aiohttp.ClientSession() as session:
        if surface == "websocket":
            async with session.ws_connect(hub.url + path):
                await has_started()
        elif surface == "sse":
            headers = {"Accept": "text/event-stream"}
            async with session.get(hub.url + path, headers=headers):
                await has_started()
        else:
            writer = await send_and_keep(hub, path, 40)
            await has_started()
            writer.close()
    await search("topic=few")
    assert cpu_seconds() - before < whole / 2 + cheap
