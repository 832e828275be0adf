"""Objects in JetStream are those of its object store, and damage to them is noticed."""

import os
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from eventhub.broker import EmbeddedBroker
from eventhub.errors import Damaged
from eventhub.jetstream import JetStreamLog
from eventhub.jetstream.objects import CHUNK_BYTES, JetStreamObjects
from eventhub.objects import Listed

BUCKET = "EVENTHUB_test"
DATA = os.urandom(3 * CHUNK_BYTES + 1)


@pytest.fixture
async def objects(log: JetStreamLog) -> JetStreamObjects:
    return await log.objects(BUCKET, writes=True)


@pytest.fixture
async def other(broker: EmbeddedBroker) -> AsyncIterator[JetStreamContext]:
    """Another program, which uses the client library of NATS."""
    client = Client()
    await client.connect(broker.url, token=broker.token)
    yield client.jetstream()
    await client.close()


async def test_other_programs_read_and_delete_objects(
    objects: JetStreamObjects, other: JetStreamContext
) -> None:
    await objects.put("one", DATA)
    bucket = await other.object_store(BUCKET)
    assert (await bucket.get("one")).data == DATA
    assert [(entry.name, entry.size) for entry in await bucket.list()] == [("one", len(DATA))]
    await bucket.delete("one")
    assert await objects.get("one") is None


async def test_an_object_without_a_chunk_is_damaged(
    objects: JetStreamObjects, other: JetStreamContext
) -> None:
    await objects.put("one", DATA)
    await other.delete_msg(f"OBJ_{BUCKET}", 2)
    with pytest.raises(Damaged, match="object one"):
        await objects.get("one")


async def test_chunks_without_a_description_are_an_unfinished_object(
    objects: JetStreamObjects, other: JetStreamContext
) -> None:
    await objects.put("one", DATA)
    await other.purge_stream(f"OBJ_{BUCKET}", subject=f"$O.{BUCKET}.M.>")
    assert await objects.listed() == Listed([], ["one"])
    assert await objects.get("one") is None
    await objects.delete("one")
    assert await objects.listed() == Listed([], [])


async def test_a_bucket_that_does_not_exist_has_no_objects(log: JetStreamLog) -> None:
    assert await (await log.objects("EVENTHUB_none", writes=False)).listed() == Listed([], [])
