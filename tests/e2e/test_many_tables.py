"""A hub with many tables opens their streams side by side, and serves each like any other."""

import asyncio
import json

import nats
import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.channel import Channel
from eventhub.errors import Misconfigured
from eventhub.jetstream import JetStreamLog
from eventhub.stream import STREAMS_AT_ONCE, EventStream, open_all
from tests.builders import channel
from tests.e2e.client import get, request
from tests.e2e.command import run
from tests.e2e.hub import HubFactory

TABLES = [f"table{number}" for number in range(100)]
CONFIG = json.dumps(
    {
        "url": {
            name: {
                "pattern": f"/{name}",
                "handler": "MessageHandler",
                "kwargs": {"columns": {"n": "INTEGER"}},
            }
            for name in TABLES
        }
    }
)


def channels() -> list[Channel]:
    return [channel(name) for name in TABLES]


async def test_each_of_many_tables_stores_its_rows_and_has_them_after_a_restart(
    hub_factory: HubFactory,
) -> None:
    hub = await asyncio.to_thread(hub_factory, CONFIG)
    for number in (0, 57, 99):
        status, _ = await request("POST", f"{hub.url}/table{number}", json={"n": number})
        assert status == 201
    assert await asyncio.to_thread(hub.stop) == 0
    await asyncio.to_thread(hub.start)
    for number in (0, 1, 57, 98, 99):
        rows = await get(f"{hub.url}/table{number}")
        assert [row["n"] for row in rows] == [number] * (number in (0, 57, 99))
    done = await asyncio.to_thread(
        run, "verify", "--json", hub.config, "--data", hub.folder / "data"
    )
    proof = json.loads(done.stdout)
    assert [table["table"] for table in proof["tables"]] == TABLES
    assert proof["equal"], done.stdout


async def test_streams_are_opened_side_by_side_up_to_a_bound(broker: EmbeddedBroker) -> None:
    under_way, most = 0, 0
    async with JetStreamLog.connect(broker.url, token=broker.token) as log:

        async def opened(channel: Channel) -> EventStream:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            stream = await log.open(channel)
            under_way -= 1
            return stream

        streams = await open_all(channels(), opened)
    assert list(streams) == TABLES
    assert most == STREAMS_AT_ONCE


async def test_one_stream_of_many_that_cannot_be_opened_is_named(broker: EmbeddedBroker) -> None:
    async with await nats.connect(broker.url, token=broker.token) as client:
        await client.jetstream().add_stream(name="FOREIGN", subjects=["eh.table57.>"])
    async with JetStreamLog.connect(broker.url, token=broker.token) as log:
        with pytest.raises(Misconfigured, match=r"stream EH_table57: .*subjects overlap"):
            await open_all(channels(), log.open)
