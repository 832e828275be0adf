"""The state of a stream is that of the life of the stream that was opened."""

import nats
import pytest
from nats.js.api import StreamConfig

from eventhub.broker import EmbeddedBroker
from eventhub.errors import EventHubError
from eventhub.jetstream import JetStreamLog
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.metadata import EPOCH, epoch_at
from eventhub.jetstream.stream_state import state_in_epoch
from tests.builders import channel, make_event

STREAM = channel().stream


async def test_a_stream_that_was_made_again_is_another_one(
    broker: EmbeddedBroker, log: JetStreamLog, connection: Connection
) -> None:
    first = await log.open(channel())
    assert (await state_in_epoch(connection, STREAM, first.epoch))["messages"] == 0
    async with await nats.connect(broker.url, token=broker.token) as client:
        await client.jetstream().delete_stream(STREAM)
    second = await log.open(channel())
    assert second.epoch != first.epoch
    with pytest.raises(EventHubError, match="deleted and made again"):
        await state_in_epoch(connection, STREAM, first.epoch)


async def test_a_stream_of_an_older_version_keeps_its_epoch_and_one_that_was_moved_as_well(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    older = StreamConfig(STREAM, subjects=[f"{channel().prefix}*"])
    async with await nats.connect(broker.url, token=broker.token) as client:
        streams = client.jetstream()
        await streams.add_stream(older)
        made = await client.request(f"$JS.API.STREAM.INFO.{STREAM}")
        stream = await log.open(channel())
        assert stream.epoch == epoch_at(str(made.data).partition('"created":"')[2].split('"')[0])
        config = (await streams.stream_info(STREAM)).config
        assert (config.metadata or {})[EPOCH] == stream.epoch
        # A backup that is restored elsewhere has the settings, and another time.
        await streams.delete_stream(STREAM)
        await streams.add_stream(config)
        moved = await log.open(channel())
    assert moved.epoch == stream.epoch
    assert (await moved.append(make_event(id="a"), expect=0)).sequence == 1
    assert (await moved.bounds()).last == 1
