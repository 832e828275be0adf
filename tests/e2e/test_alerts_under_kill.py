"""Every acknowledged POST has its mail, whatever is killed; only mails in flight are repeated."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sized

import aiohttp
import pytest

from tests.e2e.client import V1
from tests.e2e.hub import HubFactory
from tests.integration.alerts.sink import Sink

WRITERS = 6
KILLS = 3
POSTS_BETWEEN_KILLS = 40
MAX_IN_FLIGHT = 4
"""SMTP dialogues of one service at once: what a kill can interrupt between 250 and the record."""


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """An SMTP server in this process, which no kill of the hub reaches."""
    async with Sink.running() as started:
        yield started


def config(sink: Sink) -> str:
    return f"""
email: {{sink: {{type: smtp, host: 127.0.0.1, port: {sink.port}, email: hub@example.org}}}}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {{body: TEXT}}
      alert: {{to: ann@example.org, subject: "{{{{ id }}}}", max_per_hour: 100000}}
"""


async def post_until(url: str, stop: asyncio.Event, acknowledged: list[str]) -> None:
    """Post one message after the other; connect again when the hub goes away."""
    async with aiohttp.ClientSession() as session:
        while not stop.is_set():
            try:
                async with session.ws_connect(f"{url}?_since=now", protocols=(V1,)) as socket:
                    await _post_on(socket, stop, acknowledged)
            except (aiohttp.ClientError, ConnectionError):
                await asyncio.sleep(0.05)


async def _post_on(
    socket: aiohttp.ClientWebSocketResponse, stop: asyncio.Event, acknowledged: list[str]
) -> None:
    await socket.send_json({"body": "x", "_ref": 1})
    async for received in socket:
        reply = received.json()
        if "_ack" in reply:
            acknowledged.append(reply["id"])
            if stop.is_set():
                return
            await socket.send_json({"body": "x", "_ref": 1})


async def test_kills_lose_no_mail_and_repeat_only_those_in_flight(
    hub_factory: HubFactory, sink: Sink
) -> None:
    hub = await asyncio.to_thread(hub_factory, config(sink))
    stop, acknowledged = asyncio.Event(), list[str]()
    async with asyncio.timeout(50):
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(post_until(f"{hub.url}/notes", stop, acknowledged))
            for _ in range(KILLS):
                await grown(acknowledged, POSTS_BETWEEN_KILLS)
                await grown(sink.taken, 1)
                await asyncio.to_thread(hub.kill)
                await asyncio.to_thread(hub.start)
            stop.set()
        await until_all_have_mail(acknowledged, sink)
    check_repeats(sink)


async def grown(things: Sized, by: int) -> None:
    """Wait until a list is longer than now."""
    goal = len(things) + by
    async with asyncio.timeout(20):
        while len(things) < goal:
            await asyncio.sleep(0.01)


async def until_all_have_mail(acknowledged: list[str], sink: Sink) -> None:
    while missing := set(acknowledged) - {taken.mail["Subject"] for taken in sink.taken}:
        assert missing
        await asyncio.sleep(0.05)


def check_repeats(sink: Sink) -> None:
    """A mail that arrives twice has the same Message-ID: a mail client can show it once."""
    counts = Counter(taken.mail["Message-ID"] for taken in sink.taken)
    assert sum(counts.values()) - len(counts) <= KILLS * MAX_IN_FLIGHT
    subjects = {taken.mail["Subject"] for taken in sink.taken}
    assert len(subjects) == len(counts), "two mails with different Message-IDs for one event"
