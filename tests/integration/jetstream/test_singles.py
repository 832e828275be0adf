"""A write that is published by itself gets its true outcome, whatever happened to it before."""

import asyncio

import nats
import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.errors import Unavailable
from eventhub.jetstream import JetStreamLog, publisher, singles, write
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.publisher import Publisher
from eventhub.jetstream.singles import Singles
from eventhub.logs import FIRST
from eventhub.stream import Appended, EventStream, WrongSequence
from tests.builders import channel
from tests.faults.proxy import Proxy
from tests.integration.jetstream.writes import Outcomes, until


@pytest.fixture
async def stream(log: JetStreamLog) -> EventStream:
    """The stream that the writes go to; made by another connection."""
    return await log.open(channel())


def singles_over(connection: Connection) -> Singles:
    return Singles(Publisher(connection), connection, channel().stream)


async def test_writes_are_stored_in_their_order(
    stream: EventStream, connection: Connection
) -> None:
    outcomes = Outcomes()
    await singles_over(connection).store(outcomes.writes("abc"))
    assert outcomes == {row: Appended(n, duplicate=False) for n, row in enumerate("abc", 1)}
    assert await stream.end() == 3


async def test_a_write_that_was_stored_before_is_a_duplicate_and_no_conflict(
    stream: EventStream, connection: Connection
) -> None:
    store = singles_over(connection).store
    await store([Outcomes().write("a", write_id="w1"), Outcomes().write("b", write_id="w2")])
    outcomes = Outcomes()
    again = outcomes.write("a", write_id="w1")
    again.sent = True
    other = outcomes.write("b", write_id="w3")
    await store([again, other])
    assert outcomes["a"] == Appended(1, duplicate=True)
    assert isinstance(outcomes["b"], WrongSequence)
    assert await stream.end() == 2


async def test_a_write_that_was_stored_and_overtaken_is_still_a_duplicate(
    stream: EventStream, connection: Connection
) -> None:
    """The row has another event since, so its last event says nothing of the write."""
    store = singles_over(connection).store
    await store([Outcomes().write("a", write_id="w1")])
    await store([Outcomes().write("a", expect=1, write_id="w2")])
    outcomes = Outcomes()
    await store([outcomes.write("a", write_id="w1")])
    assert outcomes["a"] == Appended(1, duplicate=True)
    assert await stream.end() == 2


async def test_a_write_whose_answer_was_lost_is_sent_again(
    stream: EventStream, far: Connection, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "ACK_SECONDS", 0.2)
    outcomes = Outcomes()
    store = singles_over(far).store
    await store(outcomes.writes("a"))
    proxy.is_swallowing = True
    async with asyncio.TaskGroup() as group:
        group.create_task(store(outcomes.writes("bc")))
        await asyncio.sleep(0)
        await until(lambda: proxy.swallowed)
        proxy.is_swallowing = False
        proxy.abort()  # what was swallowed is missing in the middle of the protocol
    assert [outcome.sequence for outcome in outcomes.values() if isinstance(outcome, Appended)] == [
        1,
        2,
        3,
    ]
    assert await stream.end() == 3


async def test_a_write_that_cannot_be_sent_in_time_is_refused_and_not_stored(
    stream: EventStream, far: Connection, proxy: Proxy
) -> None:
    outcomes = Outcomes()
    store = singles_over(far).store
    await store(outcomes.writes("a"))
    proxy.is_swallowing = True
    proxy.abort()
    await until(lambda: not far.up.is_set())
    late = outcomes.write("b")
    late.give_up = asyncio.get_running_loop().time() + 0.1
    await store([late])
    refusal = outcomes["b"]
    assert isinstance(refusal, Unavailable)
    assert refusal.code == "unavailable"
    assert await stream.end() == 1


async def test_a_write_that_no_answer_ever_comes_for_has_an_unknown_outcome(
    stream: EventStream, far: Connection, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "ACK_SECONDS", 0.1)
    monkeypatch.setattr(singles, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(write, "UNKNOWN_SECONDS", 0.3)
    outcomes = Outcomes()
    store = singles_over(far).store
    await store(outcomes.writes("a"))
    proxy.is_swallowing = True
    await store(outcomes.writes("b"))
    refusal = outcomes["b"]
    assert isinstance(refusal, Unavailable)
    assert refusal.code == "unknown_outcome"
    assert await stream.end() == 1


async def test_a_write_that_is_refused_over_and_over_ends_and_is_logged_a_few_times(
    broker: EmbeddedBroker,
    stream: EventStream,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(singles, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(write, "UNKNOWN_SECONDS", 0.3)
    client = await nats.connect(broker.url, token=broker.token)
    settings = (await client.jetstream().stream_info(channel().stream)).config
    await client.jetstream().update_stream(settings.evolve(max_msg_size=10))
    await client.close()
    outcomes = Outcomes()
    await singles_over(connection).store(outcomes.writes("abc"))
    for refusal in outcomes.values():
        assert isinstance(refusal, Unavailable)
        assert refusal.code == "unavailable"
        assert "message size exceeds maximum allowed" in refusal.message
    assert "".join(capfd.readouterr()).count("append_refused") == FIRST


async def test_a_forgotten_write_is_not_sent(stream: EventStream, connection: Connection) -> None:
    outcomes = Outcomes()
    forgotten, kept = outcomes.writes("ab")
    forgotten.forget()
    await singles_over(connection).store([forgotten, kept])
    assert outcomes == {"b": Appended(1, duplicate=False)}
    assert await stream.end() == 1
