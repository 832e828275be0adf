"""A log makes its streams, and brings those of an older version up to date without a loss."""

import asyncio

import nats
import pytest
from nats.js.api import StreamConfig

from eventhub.broker import EmbeddedBroker
from eventhub.errors import Misconfigured, Unavailable
from eventhub.jetstream import JetStreamLog
from eventhub.jetstream.log import DEDUPLICATION_SECONDS
from tests.builders import channel, make_event
from tests.integration.jetstream.writes import Outcomes


async def test_a_stream_with_other_settings_gets_those_of_today_and_keeps_its_events(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    name, subject = channel().stream, f"{channel().prefix}*"
    old = StreamConfig(name, subjects=[subject], duplicate_window=1, max_msgs=1000)
    async with await nats.connect(broker.url, token=broker.token) as client:
        await client.jetstream().add_stream(old)
        await client.jetstream().publish(channel().subject("a"), b"an event of long ago")
        stream = await log.open(channel())
        info = await client.jetstream().stream_info(name)
    assert info.config.duplicate_window == DEDUPLICATION_SECONDS
    assert (info.config.max_msgs, info.state.messages) == (1000, 1)
    assert (await stream.append(make_event(id="b"), expect=0)).sequence == 2


async def test_a_stream_that_the_broker_refuses_is_named_with_the_reason(
    broker: EmbeddedBroker,
) -> None:
    async with JetStreamLog.connect(broker.url, token=broker.token, replicas=3) as log:
        with pytest.raises(Misconfigured, match=f"stream {channel().stream}: .*replicas > 1"):
            await log.open(channel())


async def test_two_openings_of_a_stream_write_through_one_queue(log: JetStreamLog) -> None:
    first, second = await log.open(channel()), await log.open(channel())
    await first.append(make_event(id="a"), expect=0)
    assert second.newest == first.newest == 1


async def test_a_write_after_the_log_was_closed_is_refused_at_once(broker: EmbeddedBroker) -> None:
    async with JetStreamLog.connect(broker.url, token=broker.token) as log:
        stream = await log.open(channel())
        await stream.append(make_event(id="a"), expect=0)
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="nothing was stored"):
            await stream.append(make_event(id="b"), expect=0)


async def test_a_write_to_a_log_that_closed_before_its_first_turn_is_refused(
    broker: EmbeddedBroker,
) -> None:
    outcomes = Outcomes()
    async with JetStreamLog.connect(broker.url, token=broker.token) as log:
        writer = log._writer(channel().stream, atomic=True)  # its task has not run yet
        writer.put(outcomes.write("before"))
    writer.put(outcomes.write("after"))
    assert {row: str(outcome) for row, outcome in outcomes.items()} == {
        "before": "the event log cannot be reached; nothing was stored",
        "after": "the event log is closed; nothing was stored",
    }


async def test_credentials_that_are_none_are_refused_before_connecting() -> None:
    with pytest.raises(Misconfigured):
        async with JetStreamLog.connect("nats://127.0.0.1:1", credentials="not a key"):
            pass
