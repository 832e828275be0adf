"""Whatever happens at whatever time, each client ends with the table that GET returns."""

import asyncio
import os
import random

import aiohttp
import pytest

from eventhub.delivery.frames import Form
from tests.e2e.client import Client, connect, get
from tests.e2e.hub import Hub, HubFactory
from tests.e2e.traffic import FILTERS, Sent, check_seen, plain, write

CONFIG = """
server: {heartbeat: 0.3}
url:
  rows:
    pattern: /rows
    handler: MessageHandler
    kwargs: {columns: {topic: TEXT, n: INTEGER, flag: BOOLEAN, body: TEXT}}
"""
SEED = int(os.environ.get("TRAFFIC_SEED", random.randrange(2**32)))
"""Printed with a failure: TRAFFIC_SEED=... repeats the choices, not the timing."""


async def subscribe(
    url: str, query: str, start_after: float, form: Form, stop: asyncio.Event, sent: Sent
) -> None:
    """Join at some time, apply every frame, and in the end hold what GET returns."""
    await asyncio.sleep(start_after)
    async with connect(f"{url}?{query}", form=form) as client:
        await _read_until_quiet(client, query, stop, sent)
    rows = await get(f"{url}?{query}")
    assert plain(list(client.table.values())) == plain(rows), f"seed {SEED}, filter {query!r}"


async def _read_until_quiet(client: Client, query: str, stop: asyncio.Event, sent: Sent) -> None:
    """A client knows by its tick that it has everything; a bare one waits for silence."""
    while True:
        try:
            async with asyncio.timeout(1.5 if client.form is Form.BARE else 20):
                message = await client.receive()
        except TimeoutError:
            if stop.is_set() and client.form is Form.BARE:
                return
            continue
        check_seen(client, message, FILTERS[query])
        last = max(sent.acknowledged, default=0)
        if stop.is_set() and "_tick" in message and int(message["_tick"].split(".")[1]) >= last:
            return


@pytest.mark.timeout(120)
async def test_random_traffic(hub_factory: HubFactory) -> None:
    """Writers and subscribers join at any time; the rule of each filter is written twice."""
    hub: Hub = hub_factory(CONFIG)
    url, rng, sent, ids = f"{hub.url}/rows", random.Random(SEED), Sent(), list[str]()
    writers_stop = asyncio.Event()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        writing = [
            group.create_task(write(session, url, random.Random(n ^ SEED), ids, sent, writers_stop))
            for n in range(6)
        ]
        for number in range(24):
            query = rng.choice(sorted(FILTERS))
            delay, form = rng.uniform(0, 4), (Form.BARE, Form.V1, Form.V2)[number % 3]
            group.create_task(subscribe(url, query, delay, form, writers_stop, sent))
        await asyncio.sleep(5)
        writers_stop.set()
        await asyncio.wait(writing)
    assert len(sent.acknowledged) > 100, f"seed {SEED}"


@pytest.mark.timeout(180)
async def test_a_kill_under_load_loses_and_repeats_nothing(hub_factory: HubFactory) -> None:
    """Kill hub and broker with -9, four times: every acknowledged write is stored once."""
    hub: Hub = hub_factory(CONFIG)
    url, sent, ids = f"{hub.url}/rows", Sent(), list[str]()
    stop = asyncio.Event()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(write(session, url, random.Random(number ^ SEED), ids, sent, stop))
        for _ in range(4):
            before = len(sent.acknowledged)
            async with asyncio.timeout(20):
                while len(sent.acknowledged) < before + 200:
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(hub.kill)
            await asyncio.to_thread(hub.start)
        stop.set()
    await check_history(url, sent)


async def check_history(url: str, sent: Sent) -> None:
    """History is a fold of itself to the table, and holds each acknowledged write, once."""
    async with connect(f"{url}?_replay=log") as client:
        history = [frame for frame in await client.replay() if "_seq" in frame]
    sequences = [event["_seq"] for event in history]
    assert sequences == sorted(set(sequences))
    by_sequence = {event["_seq"]: event for event in history}
    for sequence, message in sent.acknowledged.items():
        event = by_sequence[sequence]
        assert (event["_method"], event["id"]) == (message["_method"], message["id"])
        for key in message.keys() & (event["row"] or {}).keys():
            assert event["row"][key] == message[key]
    table = {}
    for event in history:
        table[event["id"]] = event["row"]
    rows = await get(url)
    assert {row["id"]: row for row in rows} == {k: v for k, v in table.items() if v is not None}
    assert len(history) <= len(sent.acknowledged) + sent.unknown, f"seed {SEED}"
