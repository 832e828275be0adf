"""A stream that was saved and loaded has the same messages, and its consumers go on."""

import nats
import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.errors import EventHubError
from eventhub.event import SealedEvent
from eventhub.jetstream import JetStreamLog
from tests.builders import channel, make_event


async def events_of(log: JetStreamLog) -> list[tuple[int, bytes]]:
    stream = await log.open(channel())
    async with stream.follow_sealed(0) as batches:
        found: list[SealedEvent] = []
        while len(found) < 5:
            found += [SealedEvent(each.sequence, each.payload) for each in await anext(batches)]
    return [(each.sequence, each.payload) for each in found]


async def filled(log: JetStreamLog) -> list[tuple[int, bytes]]:
    stream = await log.open(channel())
    for number in range(5):
        await stream.append(make_event(id=str(number), write=f"w{number}"), expect=0)
    return await events_of(log)


@pytest.mark.parametrize("keeps_epoch", [True, False])
async def test_a_loaded_stream_has_the_same_events(log: JetStreamLog, keeps_epoch: bool) -> None:
    before, epoch = await filled(log), (await log.open(channel())).epoch
    pieces: list[bytes] = []
    copy = await log.copies.save(channel().stream, pieces.append)
    await log.copies.delete(channel().stream)
    await log.copies.load(channel().stream, copy, pieces, keeps_epoch=keeps_epoch)
    assert await events_of(log) == before
    assert ((await log.open(channel())).epoch == epoch) is keeps_epoch


async def test_a_consumer_goes_on_behind_what_it_has_acknowledged(
    log: JetStreamLog, broker: EmbeddedBroker
) -> None:
    await filled(log)
    stream, pieces = channel().stream, list[bytes]()
    client = await nats.connect(broker.url, token=broker.token)
    try:
        mails = await client.jetstream().pull_subscribe("", durable="mails", stream=stream)
        for message in await mails.fetch(3):
            await message.ack_sync()
        copy = await log.copies.save(stream, pieces.append)
        await log.copies.delete(stream)
        await log.copies.load(stream, copy, pieces, keeps_epoch=False)
        left = await mails.fetch(2)
        assert [message.metadata.sequence.stream for message in left] == [4, 5]
    finally:
        await client.close()


async def test_a_stream_that_exists_is_left_alone(log: JetStreamLog) -> None:
    before, pieces = await filled(log), list[bytes]()
    copy = await log.copies.save(channel().stream, pieces.append)
    with pytest.raises(EventHubError, match="already in use"):
        await log.copies.load(channel().stream, copy, pieces, keeps_epoch=True)
    assert await events_of(log) == before


async def test_pieces_of_something_else_make_no_stream(log: JetStreamLog) -> None:
    await filled(log)
    copy = await log.copies.save(channel().stream, lambda _: None)
    await log.copies.delete(channel().stream)
    with pytest.raises(EventHubError):
        await log.copies.load(channel().stream, copy, [b"not a snapshot"], keeps_epoch=True)
    assert channel().stream not in await log.copies.stored()
