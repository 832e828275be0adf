"""Of idle streams, one for each server asks for many heartbeats, and notices for all of them."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg
from structlog.testing import capture_logs

from eventhub.broker import EmbeddedBroker
from eventhub.event import StoredEvent
from eventhub.jetstream import JetStreamLog, api, pull
from eventhub.jetstream.api import NANOSECONDS
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.stream import JetStreamStream
from tests.builders import channel, make_event
from tests.cluster import SERVERS, Cluster
from tests.integration.broker.hubs import until

MANY, FEW = pull.HEARTBEAT_SECONDS, pull.RESTING_HEARTBEAT_SECONDS


class Requests:
    """The pull requests that a broker gets: of which stream, and for how many heartbeats."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float]] = []
        self._came = asyncio.Event()

    async def on_message(self, message: Msg) -> None:
        stream = message.subject.split(".")[-2].removeprefix("EH_")
        self.seen.append((stream, json.loads(message.data)["idle_heartbeat"] / NANOSECONDS))
        self._came.set()

    async def take(self, count: int) -> list[tuple[str, float]]:
        """Return the next ones."""
        async with asyncio.timeout(20):
            while len(self.seen) < count:
                self._came.clear()
                await self._came.wait()
        taken, self.seen = self.seen[:count], self.seen[count:]
        return taken


@pytest.fixture
async def requests(broker: EmbeddedBroker) -> AsyncIterator[Requests]:
    requests = Requests()
    async with await nats.connect(broker.url, token=broker.token) as client:
        await client.subscribe("$JS.API.CONSUMER.MSG.NEXT.>", cb=requests.on_message)
        await client.flush()
        yield requests


class Following:
    """The events of one stream, as they come."""

    def __init__(self, stream: JetStreamStream) -> None:
        self.stream = stream
        self.events: asyncio.Queue[StoredEvent] = asyncio.Queue()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._run())
            yield
            task.cancel()

    async def _run(self) -> None:
        async with self.stream.follow(0) as batches:
            async for batch in batches:
                for event in batch:
                    self.events.put_nowait(event)


@asynccontextmanager
async def following(log: JetStreamLog, names: Sequence[str]) -> AsyncIterator[list[Following]]:
    async with AsyncExitStack() as stack:
        found = [Following(await log.open(channel(name))) for name in names]
        for each in found:
            await stack.enter_async_context(each.running())
        yield found


async def test_one_of_many_idle_streams_asks_for_many_heartbeats(
    log: JetStreamLog, requests: Requests
) -> None:
    async with following(log, ["a"]):
        assert await requests.take(1) == [("a", MANY)]
        async with following(log, ["b", "c", "d"]):
            assert sorted(await requests.take(3)) == [("b", FEW), ("c", FEW), ("d", FEW)]


async def test_when_that_one_ends_another_takes_its_place(
    log: JetStreamLog, requests: Requests
) -> None:
    async with AsyncExitStack() as first:
        await first.enter_async_context(following(log, ["a"]))
        await requests.take(1)
        async with following(log, ["b", "c"]):
            resting = [name for name, _ in await requests.take(2)]
            await first.aclose()
            assert await requests.take(1) == [(resting[0], MANY)]


async def test_a_stream_asks_for_many_heartbeats_after_an_event_until_it_is_idle_again(
    log: JetStreamLog, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "EXPIRES_SECONDS", 1.0)
    async with following(log, ["a"]):
        assert await requests.take(1) == [("a", MANY)]
        async with following(log, ["b"]) as [b]:
            assert await requests.take(1) == [("b", FEW)]
            await b.stream.append(make_event(id="x"), expect=0)
            heartbeats: list[float] = []
            while len(heartbeats) < 2:
                heartbeats += [seconds for name, seconds in await requests.take(1) if name == "b"]
            assert heartbeats == [MANY, FEW]
            assert b.events.get_nowait().event.id == "x"


async def test_a_stream_at_rest_stays_so_while_the_broker_answers(
    log: JetStreamLog, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its consumer is not made again: that would be the doubt of a lost heartbeat."""
    monkeypatch.setattr(pull, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(pull, "RESTING_HEARTBEAT_SECONDS", 0.4)
    monkeypatch.setattr(pull, "RESTING_EXPIRES_SECONDS", 1.0)
    with capture_logs() as lines:
        async with following(log, ["a", "b"]):
            seen = [await requests.take(1) for _ in range(5)]
    assert [each for each in seen if each[0][0] == "b"] == [[("b", 0.4)]] * 4
    assert [line for line in lines if line["event"] == "follower_reset"] == []


async def test_an_acknowledged_event_that_does_not_come_is_missed_by_a_stream_at_rest_too(
    log: JetStreamLog, requests: Requests
) -> None:
    async with following(log, ["a", "b"]) as [_, b]:
        await requests.take(2)
        with capture_logs() as lines:
            b.stream._marks._acknowledged = lambda: 7  # the server has hidden it
            async with asyncio.timeout(pull.RESTING_HEARTBEAT_SECONDS / 2):
                await until(
                    lambda: any(line["event"] == "acknowledged_event_missing" for line in lines)
                )
            b.stream._marks._acknowledged = lambda: 0


async def server_of(connection: Connection, following: Following) -> str:
    """Return the server that serves the consumer of a stream, once that waits for an event."""
    stream = following.stream.channel.stream
    while True:
        found: dict[str, Any] = await api.call(connection, f"CONSUMER.LIST.{stream}")
        for consumer in found["consumers"]:
            if consumer["num_waiting"]:
                return str(consumer["cluster"]["leader"])


@pytest.mark.xdist_group("cluster")
@pytest.mark.timeout(120)
async def test_a_lost_server_is_noticed_by_all_streams_at_rest_whose_consumers_it_served(
    servers: Cluster,
) -> None:
    """Long before their own heartbeats would be missed."""
    names = [f"t{number}" for number in range(8)]
    leader = servers.meta_leader()
    async with AsyncExitStack() as stack:
        url = servers.url(leader)
        log = await stack.enter_async_context(JetStreamLog.connect(url, replicas=SERVERS))
        connection = await stack.enter_async_context(Connection.open(servers=url))
        followed = await stack.enter_async_context(following(log, names))
        async with asyncio.timeout(30):
            served = [await server_of(connection, each) for each in followed]
        victim = max({*served} - {f"n{leader}"}, key=served.count)
        lines = stack.enter_context(capture_logs())
        servers.end(int(victim.removeprefix("n")), signal.SIGKILL)
        try:
            async with asyncio.timeout(1.5 * pull.RESTING_HEARTBEAT_SECONDS):
                for each in followed:
                    await each.stream.append(make_event(id="x"), expect=0)
                    assert (await each.events.get()).sequence == 1
        finally:
            servers.start(int(victim.removeprefix("n")))
            await servers.ready()
    resets = [each for each in lines if each["event"] == "follower_reset"]
    first = {each["channel"]: each["reason"] for each in reversed(resets)}
    concerned = [name for name, server in zip(names, served, strict=True) if server == victim]
    reasons = sorted(first[name] for name in concerned)
    assert reasons == ["silence", *["the server is silent"] * (len(concerned) - 1)]
