"""While no consumer can be made, events are read without one: in order, each once."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from structlog.testing import capture_logs

from eventhub.broker import EmbeddedBroker
from eventhub.errors import EventHubError
from eventhub.event import StoredEvent
from eventhub.jetstream import JetStreamLog, api, polling
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.polling import Polling
from eventhub.jetstream.stream import JetStreamStream
from tests.builders import channel, make_event
from tests.cluster import SERVERS, Cluster

STREAM = channel().stream


async def test_a_poll_returns_what_follows_until_the_first_gap(
    connection: Connection, log: JetStreamLog
) -> None:
    stream = await log.open(channel())
    polls = Polling(connection, channel(), stream.epoch)
    assert await polls.poll(0) == []
    for row in "abcd":
        await stream.append(make_event(id=row), expect=0)
    found = await polls.poll(1)
    assert found is not None
    columns = channel().columns
    events = [StoredEvent.read(each.sequence, each.data, columns) for each in found]
    assert [(each.sequence, each.event.id) for each in events] == [(2, "b"), (3, "c"), (4, "d")]
    await api.call(connection, f"STREAM.MSG.DELETE.{STREAM}", {"seq": 3})
    found = await polls.poll(1)
    assert found is not None
    assert [each.sequence for each in found] == [2]
    assert await polls.poll(2) == []  # only a consumer tells what a gap is


async def test_polls_that_find_nothing_become_rare(
    connection: Connection, log: JetStreamLog
) -> None:
    stream = await log.open(channel())
    polls = Polling(connection, channel(), stream.epoch)
    for _ in range(8):
        await polls.poll(0)
    assert polls.pause_seconds == polling.MOST_POLL_SECONDS
    await stream.append(make_event(), expect=0)
    await polls.poll(0)
    assert polls.pause_seconds == polling.POLL_SECONDS


async def test_a_stream_that_was_made_again_is_refused(
    connection: Connection, log: JetStreamLog
) -> None:
    stream = await log.open(channel())
    polls = Polling(connection, channel(), stream.epoch)
    await api.call(connection, f"STREAM.DELETE.{STREAM}")
    again = await log.open(channel())
    await again.append(make_event(), expect=0)
    with pytest.raises(EventHubError, match="made again"):
        await polls.poll(0)


async def test_without_an_answer_nothing_is_known(
    broker: EmbeddedBroker,
    connection: Connection,
    log: JetStreamLog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(polling, "ANSWER_SECONDS", 0.1)
    stream = await log.open(channel())
    polls = Polling(connection, channel(), stream.epoch)
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(20):  # a signal takes a moment
            while await polls.poll(0) is not None:
                pass
    finally:
        os.kill(broker.pid, signal.SIGCONT)


async def lead(connection: Connection, server: str) -> None:
    """Make a server the leader of the stream."""
    place = {"placement": {"preferred": server}}
    while (await api.call(connection, f"STREAM.INFO.{STREAM}"))["cluster"].get("leader") != server:
        with suppress(EventHubError):
            await api.call(connection, f"STREAM.LEADER.STEPDOWN.{STREAM}", place)
        await asyncio.sleep(0.1)


@asynccontextmanager
async def served_by(
    connection: Connection, stream: JetStreamStream, server: str
) -> AsyncIterator[asyncio.Queue[StoredEvent]]:
    """Follow a stream with a consumer on one server; the cluster places it, so some are dropped."""
    events: asyncio.Queue[StoredEvent] = asyncio.Queue()

    async def follow(after: int) -> None:
        async with stream.follow(after) as batches:
            async for batch in batches:
                for event in batch:
                    events.put_nowait(event)

    async with asyncio.TaskGroup() as group:
        while True:
            task = group.create_task(follow(await stream.end()))
            while not (found := (await _consumers(connection))):
                await asyncio.sleep(0.05)
            if found == [server]:
                break
            task.cancel()
            while await _consumers(connection):
                await asyncio.sleep(0.05)
        yield events
        task.cancel()


async def _consumers(connection: Connection) -> list[str]:
    """Return the servers of the consumers that are pulled from."""
    listed = await api.call(connection, f"CONSUMER.LIST.{STREAM}")
    return [each["cluster"]["leader"] for each in listed["consumers"] if each["num_waiting"]]


@pytest.mark.xdist_group("cluster")
@pytest.mark.timeout(120)
async def test_events_come_while_there_is_no_server_that_could_make_a_consumer(
    servers: Cluster,
) -> None:
    victim = servers.meta_leader()
    home = servers.url((victim + 1) % SERVERS)
    async with (
        JetStreamLog.connect(home, replicas=SERVERS) as log,
        Connection.open(servers=home) as connection,
        asyncio.timeout(90),
    ):
        stream = await log.open(channel())
        await lead(connection, f"n{(victim + 1) % SERVERS}")
        async with served_by(connection, stream, f"n{victim}") as events:
            servers.end(victim, signal.SIGKILL)
            try:
                with capture_logs() as lines:
                    for place in range(1, 4):
                        await stream.append(make_event(id=f"r{place}"), expect=0)
                        assert (await events.get()).sequence == place
                ways = [line["by"] for line in lines if line["event"] == "follower_goes_on"]
                assert ways == ["polls"]
            finally:
                servers.start(victim)
                await servers.ready()
            for place in range(4, 7):
                await stream.append(make_event(id=f"r{place}"), expect=0)
                assert (await events.get()).sequence == place
            assert events.empty()
