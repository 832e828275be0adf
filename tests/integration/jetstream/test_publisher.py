"""Every message that is sent gets one reply or None, and no reply goes to another caller."""

import asyncio

import pytest

from eventhub.jetstream import JetStreamLog, publisher
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.publisher import Ack, Publisher
from eventhub.stream import EventStream
from tests.builders import channel
from tests.faults.proxy import Proxy
from tests.integration.jetstream.writes import Outcomes, until


@pytest.fixture
async def stream(log: JetStreamLog) -> EventStream:
    """The stream that the writes go to; made by another connection."""
    return await log.open(channel())


async def ready(connection: Connection) -> Publisher:
    made = Publisher(connection)
    assert not made.is_ready
    assert await made.ready(asyncio.get_running_loop().time() + 10)
    return made


async def test_each_reply_goes_to_its_own_caller_once(
    stream: EventStream, connection: Connection
) -> None:
    made, acks = await ready(connection), {row: list[Ack | None]() for row in "abc"}
    for write, row in zip(Outcomes().writes(acks), acks, strict=True):
        reply = made.expect(acks[row].append)
        made.send([write], write.command(reply), [reply])
        await until(lambda row=row: acks[row])  # type: ignore[misc] # mypy loses the default
        await connection.publish(reply.decode(), b'{"seq":99}')
    await connection.request("$JS.API.INFO")  # its answer comes after these
    assert acks == {row: [Ack(seq=sequence)] for sequence, row in enumerate("abc", 1)}
    assert made.newest == 3


async def test_a_reply_that_is_too_late_is_dropped(
    stream: EventStream, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "ACK_SECONDS", 0.05)
    made, acks = await ready(connection), list[Ack | None]()
    reply = made.expect(acks.append)
    await until(lambda: acks)
    await connection.publish(reply.decode(), b'{"stream":"X","seq":9}')
    await connection.request("$JS.API.INFO")  # behind it, in order
    assert acks == [None]
    assert made.newest == 0


async def test_a_lost_connection_answers_everything_that_waits_with_none(
    stream: EventStream, far: Connection, proxy: Proxy
) -> None:
    made, acks = await ready(far), list[Ack | None]()
    for _ in range(3):
        made.expect(acks.append)
    proxy.abort()
    await until(lambda: len(acks) == 3)
    assert acks == [None] * 3
    assert await made.ready(asyncio.get_running_loop().time() + 10)


async def test_without_a_connection_a_publisher_is_not_ready_at_its_deadline(
    far: Connection, proxy: Proxy
) -> None:
    made = await ready(far)
    proxy.is_swallowing = True
    proxy.abort()
    await until(lambda: not far.up.is_set())
    assert not await made.ready(asyncio.get_running_loop().time() + 0.05)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"stream":"EH_chat","seq":7}', Ack(seq=7)),
        (b'{"stream":"EH_chat","seq":7,"duplicate":true}', Ack(seq=7, duplicate=True)),
        (b"", None),
        (b"+OK", None),
        (b"[]", None),
    ],
)
def test_a_reply_is_an_acknowledgement_or_none(data: bytes, expected: Ack | None) -> None:
    assert Ack.read(data) == expected


def test_a_refusal_has_the_number_of_the_server() -> None:
    ack = Ack.read(b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence"}}')
    assert ack is not None
    assert ack.number == 10071
    assert Ack(seq=1).number == 0
