"""A pull in doubt is given up, and another one started at the position that was reached."""

import asyncio

import pytest

from eventhub.jetstream import JetStreamLog
from eventhub.jetstream.api import STREAM_NOT_FOUND, ApiError
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.ephemeral import Ephemeral
from eventhub.jetstream.pull import Pull
from eventhub.jetstream.puller import Puller
from tests.builders import channel, make_event
from tests.integration.broker.hubs import until


def puller(connection: Connection, stream: str, reasons: list[str], policy: str = "all") -> Puller:
    async def start() -> Pull:
        consumer = await Ephemeral(connection, stream, "reader").make(deliver_policy=policy)
        return await Pull(connection, consumer.path, count=10, overdue=lambda: False).open()

    return Puller(connection, start, reasons.append)


async def test_after_a_doubt_another_pull_brings_the_messages(
    connection: Connection, log: JetStreamLog
) -> None:
    stream, reasons = await log.open(channel()), list[str]()
    pulling = puller(connection, channel().stream, reasons)
    async with asyncio.timeout(20):
        first = await pulling.started()
        first.suspect("something may be missing")
        assert await pulling.attempt() is None
        assert reasons == ["something may be missing"]
        await stream.append(make_event(id="a"), expect=0)
        second = await pulling.ready()
    assert second is not first
    assert [place.sequence for place, _ in second.messages] == [1]
    await pulling.close()


async def test_a_stream_that_is_gone_ends_it_and_other_refusals_do_not(
    connection: Connection, log: JetStreamLog
) -> None:
    await log.open(channel())
    reasons: list[str] = []
    with pytest.raises(ApiError) as refused:
        await puller(connection, "EH_gone", reasons).ready()
    assert (refused.value.number, reasons) == (STREAM_NOT_FOUND, [])
    pulling = puller(connection, channel().stream, reasons, policy="by_start_sequence")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(pulling.ready())
        await until(lambda: len(reasons) == 2)
        task.cancel()
    assert all("start sequence" in reason for reason in reasons)
