"""A batch is stored whole and in order, or it is in doubt and the publisher says so once."""

import asyncio
from collections.abc import Sequence

import pytest

from eventhub.jetstream import JetStreamLog, publisher
from eventhub.jetstream.batches import Batches
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.publisher import Publisher
from eventhub.jetstream.write import Write
from eventhub.stream import Appended, EventStream
from tests.builders import channel, make_event
from tests.faults.proxy import Proxy
from tests.integration.jetstream.writes import Outcomes, until

ROWS = [f"r{number}" for number in range(5)]


@pytest.fixture
async def stream(log: JetStreamLog) -> EventStream:
    """The stream that the batches go to; made by another connection."""
    return await log.open(channel())


class Sending:
    """Batches over a connection, and how they ended."""

    def __init__(self, connection: Connection) -> None:
        self.stored: list[Sequence[Write]] = []
        self.doubtful: list[Sequence[Write]] = []
        self.outcomes = Outcomes()
        self.publisher = Publisher(connection)
        self.batches = Batches(self.publisher, self.stored.append, self.doubtful.append)

    async def send(self, writes: list[Write]) -> list[Write]:
        assert await self.publisher.ready(asyncio.get_running_loop().time() + 10)
        self.batches.send(writes)
        return writes


async def test_a_batch_is_stored_in_its_order(stream: EventStream, connection: Connection) -> None:
    await stream.append(make_event(id="before"), expect=0)
    sending = Sending(connection)
    writes = await sending.send(sending.outcomes.writes(ROWS))
    assert list(sending.batches.under_way.values()) == [writes]
    await until(lambda: sending.stored)
    assert sending.stored == [writes]
    assert sending.outcomes == {
        row: Appended(sequence, duplicate=False) for sequence, row in enumerate(ROWS, 2)
    }
    for row, outcome in sending.outcomes.items():
        stored = await stream.last(row)
        assert isinstance(outcome, Appended)
        assert stored is not None
        assert stored.sequence == outcome.sequence
    assert (len(sending.batches.under_way), sending.doubtful, sending.publisher.newest) == (
        0,
        [],
        6,
    )


async def test_one_conflict_leaves_nothing_stored_and_the_batch_in_doubt(
    stream: EventStream, connection: Connection
) -> None:
    sending = Sending(connection)
    conflict = sending.outcomes.write("conflict", expect=3)
    writes = await sending.send([*sending.outcomes.writes(ROWS), conflict])
    await until(lambda: sending.doubtful)
    assert sending.doubtful == [writes]
    assert (sending.stored, dict(sending.outcomes), len(sending.batches.under_way)) == ([], {}, 0)
    assert not any(write.sent for write in writes)
    assert await stream.end() == 0


async def test_without_a_connection_a_batch_is_in_doubt_at_once_and_was_not_sent(
    stream: EventStream, far: Connection, proxy: Proxy
) -> None:
    sending = Sending(far)
    await sending.send(sending.outcomes.writes(["first"]))
    await until(lambda: sending.stored)
    proxy.is_swallowing = True
    proxy.abort()
    await until(lambda: not far.up.is_set())
    writes = sending.outcomes.writes(ROWS)
    sending.batches.send(writes)
    assert sending.doubtful == [writes]
    assert not any(write.sent for write in writes)
    assert await stream.end() == 1


@pytest.mark.parametrize("is_lost", [True, False], ids=["connection lost", "no answer in time"])
async def test_a_batch_without_an_answer_is_in_doubt_and_may_be_stored(
    stream: EventStream,
    far: Connection,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    is_lost: bool,
) -> None:
    monkeypatch.setattr(publisher, "ACK_SECONDS", 60.0 if is_lost else 0.2)
    sending = Sending(far)
    assert await sending.publisher.ready(asyncio.get_running_loop().time() + 10)
    proxy.is_swallowing = True
    writes = await sending.send(sending.outcomes.writes(ROWS))
    if is_lost:
        proxy.is_swallowing = False
        proxy.abort()
    await until(lambda: sending.doubtful)
    assert sending.doubtful == [writes]
    assert (sending.stored, dict(sending.outcomes)) == ([], {})
    assert all(write.sent for write in writes)
    assert await stream.end() == 0


async def test_several_batches_are_under_way_and_each_ends_once(
    stream: EventStream, connection: Connection
) -> None:
    sending = Sending(connection)
    sent = [
        await sending.send(sending.outcomes.writes(f"{batch}.{row}" for row in ROWS))
        for batch in range(4)
    ]
    assert list(sending.batches.under_way.values()) == sent
    await until(lambda: len(sending.stored) == 4)
    assert sending.stored == sent
    assert await stream.end() == 4 * len(ROWS)
