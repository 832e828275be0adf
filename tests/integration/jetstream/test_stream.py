"""A reader of a log knows what other processes wrote, and gets no damaged events."""

import asyncio

import nats
import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.event import encode
from eventhub.jetstream import JetStreamLog
from tests.builders import channel, make_event


def flipped(payload: bytes) -> bytes:
    """Return a payload of which one bit, in the id, is not what it was."""
    return payload.replace(b'"id":"r1"', b'"id":"r0"')


async def test_damaged_events_are_left_out_of_raw_reads_and_reported(
    broker: EmbeddedBroker, log: JetStreamLog, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = await log.open(channel())
    client = await nats.connect(broker.url, token=broker.token)
    for payload in (b"not an event", flipped(encode(make_event(id="r1")))):
        await client.jetstream().publish(channel().subject("r1"), payload)
    await stream.append(make_event(id="good"), expect=0)
    async with stream.follow_sealed(0) as batches, asyncio.timeout(20):
        assert [sealed.sequence for sealed in await anext(batches)] == [3]
    assert capsys.readouterr().out.count("event_damaged") == 2
    await client.close()


async def test_erased_events_are_skipped(broker: EmbeddedBroker, log: JetStreamLog) -> None:
    stream = await log.open(channel())
    for number in range(4):
        await stream.append(make_event(id=f"r{number}"), expect=0)
    client = await nats.connect(broker.url, token=broker.token)
    await client.jetstream().delete_msg(channel().stream, 2)
    async with stream.follow_sealed(0) as batches, asyncio.timeout(20):
        assert [sealed.sequence for sealed in await anext(batches)] == [1, 3, 4]
    await client.close()


async def test_the_end_of_a_log_is_not_fetched_if_this_process_wrote_it(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    """Otherwise each reader of a table would fetch what was written last, a megabyte or not."""
    stream = await log.open(channel())
    await stream.append(make_event(id="r1"), expect=0)
    client = await nats.connect(broker.url, token=broker.token)
    requests = await client.subscribe("$JS.API.STREAM.MSG.GET.>")
    await client.flush()
    assert (await stream.bounds()).last == 1
    await client.jetstream().publish(channel().subject("r2"), b"not an event")
    assert (await stream.bounds()).last == 1
    fetched = await requests.next_msg(5)  # the other one
    assert b'"seq":2' in fetched.data
    await client.close()


async def test_a_process_knows_the_writes_that_it_has_read_of_another(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    stream = await log.open(channel())
    for number in range(4):
        await stream.append(make_event(id=f"r{number}"), expect=0)
    async with JetStreamLog.connect(broker.url, token=broker.token) as other_log:
        other = await other_log.open(channel())
        assert await other.last("r2") is not None
        assert other.newest == 3
