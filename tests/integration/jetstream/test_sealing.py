"""The manifest is replaced at one revision only, and work queues hold back what they need."""

import pytest

from eventhub.errors import Conflict
from eventhub.jetstream import JetStreamLog
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.sealing import Manifests, acknowledged, nanoseconds_at
from eventhub.segments import Manifest
from tests.builders import channel, make_event
from tests.unit.test_segments import segment

MANIFEST = Manifest(epoch="e1", segments=(segment(1, 5),))
STREAM = channel().stream


@pytest.fixture
async def stored(log: JetStreamLog) -> None:
    """The store of manifests."""
    await log.records("segments")


async def test_without_a_store_nothing_is_sealed(connection: Connection) -> None:
    assert await Manifests(connection, STREAM, "e1").read() == (Manifest(epoch="e1"), 0)


@pytest.mark.usefixtures("stored")
async def test_a_manifest_is_replaced_at_its_revision_only(connection: Connection) -> None:
    manifests = Manifests(connection, STREAM, "e1")
    first = await manifests.replace(MANIFEST, 0)
    assert await manifests.read() == (MANIFEST, first)
    with pytest.raises(Conflict, match=STREAM):
        await manifests.replace(MANIFEST, 0)
    longer = MANIFEST.with_segment(segment(6, 6))
    second = await manifests.replace(longer, first)
    with pytest.raises(Conflict):
        await manifests.replace(MANIFEST, first)
    assert await manifests.read() == (longer, second)


@pytest.mark.usefixtures("stored")
async def test_the_manifest_of_another_epoch_does_not_count(connection: Connection) -> None:
    revision = await Manifests(connection, STREAM, "e1").replace(MANIFEST, 0)
    later = Manifests(connection, STREAM, "e2")
    assert await later.read() == (Manifest(epoch="e2"), revision)
    await later.replace(Manifest(epoch="e2"), revision)


async def test_a_work_queue_needs_what_it_has_not_acknowledged(
    log: JetStreamLog, connection: Connection
) -> None:
    stream = await log.open(channel())
    for number in range(3):
        await stream.append(make_event(id=str(number)), expect=0)
    assert await acknowledged(connection, channel(), 3) == 3, "there is no work queue"
    await stream.enlist("alerts")
    assert await acknowledged(connection, channel(), 3) == 3, "it begins with the next event"
    for number in range(3, 6):
        await stream.append(make_event(id=str(number)), expect=0)
    async with stream.work("alerts") as deliveries:
        first, second = await anext(deliveries), await anext(deliveries)
        await second.ack()
        assert await acknowledged(connection, channel(), 6) == 3
        await first.ack()
        assert await acknowledged(connection, channel(), 6) == 5
        await (await anext(deliveries)).ack()
        assert await acknowledged(connection, channel(), 6) == 6


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:01.123456789Z", 1_123_456_789),
    ],
)
def test_times_of_the_server_are_read_to_the_nanosecond(text: str, nanoseconds: int) -> None:
    assert nanoseconds_at(text) == nanoseconds
