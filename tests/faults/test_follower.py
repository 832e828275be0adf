"""Acknowledged events are stored and followed once and in order, over any outage of the broker."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.errors import Damaged, EventHubError
from eventhub.event import StoredEvent
from eventhub.jetstream import JetStreamLog
from eventhub.stream import EventStream
from tests.builders import channel, make_event
from tests.faults.proxy import Proxy
from tests.faults.test_writer import until

APPENDERS = 12  # enough to make atomic batches


class Traffic:
    """Rows that grow as fast as they can, and a follower that notes what it sees."""

    def __init__(self, stream: EventStream) -> None:
        self.acknowledged: dict[int, str] = {}
        self.followed: list[StoredEvent] = []
        self._stream = stream
        self._stopping = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            follower = group.create_task(self._follow())
            appenders = [group.create_task(self._append(f"r{n}")) for n in range(APPENDERS)]
            yield
            self._stopping = True
            await asyncio.wait(appenders, timeout=20)
            await until(lambda: len(self.followed) >= len(self.acknowledged))
            follower.cancel()

    async def goes_on(self) -> None:
        """Wait until events appended from now on were followed."""
        goal = len(self.acknowledged) + 300
        await until(lambda: len(self.followed) >= goal)

    async def _append(self, row_id: str) -> None:
        last = 0
        while not self._stopping:
            event = make_event(id=row_id)
            last = (await self._stream.append(event, expect=last)).sequence
            self.acknowledged[last] = event.write

    async def _follow(self) -> None:
        async with self._stream.follow(0) as batches:
            async for batch in batches:
                self.followed += batch

    async def assert_exact(self) -> None:
        count = len(self.acknowledged)
        assert [stored.sequence for stored in self.followed] == list(range(1, count + 1))
        assert {s.sequence: s.event.write for s in self.followed} == self.acknowledged
        assert (await self._stream.bounds()).last == count


@pytest.fixture
async def traffic(log: JetStreamLog) -> Traffic:
    return Traffic(await log.open(channel()))


async def test_a_follower_survives_a_broker_that_is_killed_again_and_again(
    broker: EmbeddedBroker, traffic: Traffic
) -> None:
    async with traffic.running():
        for _ in range(4):
            await traffic.goes_on()
            os.kill(broker.pid, signal.SIGKILL)
        await traffic.goes_on()
    await traffic.assert_exact()


async def test_a_follower_survives_a_broker_that_freezes(
    broker: EmbeddedBroker, traffic: Traffic
) -> None:
    async with traffic.running():
        await traffic.goes_on()
        os.kill(broker.pid, signal.SIGSTOP)
        await asyncio.sleep(4)  # longer than pings, heartbeats and acknowledgements are waited for
        os.kill(broker.pid, signal.SIGCONT)
        await traffic.goes_on()
    await traffic.assert_exact()


async def test_a_follower_survives_consumers_that_vanish(
    broker: EmbeddedBroker, traffic: Traffic
) -> None:
    client = await nats.connect(broker.url, token=broker.token)
    stream = channel().stream
    async with traffic.running():
        for _ in range(3):
            await traffic.goes_on()
            for consumer in await client.jetstream().consumers_info(stream):
                await client.jetstream().delete_consumer(stream, consumer.name)
        await traffic.goes_on()
    await traffic.assert_exact()
    await client.close()


async def test_a_follower_survives_connections_that_break(broker: EmbeddedBroker) -> None:
    async with (
        Proxy(int(broker.url.rpartition(":")[2])).running() as proxy,
        JetStreamLog.connect(proxy.url, token=broker.token) as log,
    ):
        traffic = Traffic(await log.open(channel()))
        async with traffic.running():
            for _ in range(6):
                await traffic.goes_on()
                proxy.abort()
            await traffic.goes_on()
        await traffic.assert_exact()


async def test_a_follower_does_not_continue_in_a_stream_that_was_created_again(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    stream = await log.open(channel())
    await stream.append(make_event(id="a"), expect=0)
    client = await nats.connect(broker.url, token=broker.token)
    async with stream.follow(0) as batches, asyncio.timeout(20):
        await anext(batches)
        await client.jetstream().delete_stream(channel().stream)
        again = await log.open(channel())
        await again.append(make_event(id="b"), expect=0)
        with pytest.raises(EventHubError, match="deleted and made again"):
            await anext(batches)
    assert again.epoch != stream.epoch
    await client.close()


async def test_a_follower_does_not_wait_past_the_end_of_a_truncated_stream(
    log: JetStreamLog,
) -> None:
    stream = await log.open(channel())
    async with stream.follow(7) as batches, asyncio.timeout(20):
        with pytest.raises(EventHubError, match="ends at 0"):
            await anext(batches)


async def test_a_follower_skips_and_reports_erased_events(
    broker: EmbeddedBroker, log: JetStreamLog, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = await log.open(channel())
    for number in range(5):
        await stream.append(make_event(id=f"r{number}"), expect=0)
    client = await nats.connect(broker.url, token=broker.token)
    for sequence in (1, 3):
        await client.jetstream().delete_msg(channel().stream, sequence)
    async with stream.follow(0) as batches, asyncio.timeout(20):
        assert [stored.sequence for stored in await anext(batches)] == [2, 4, 5]
    assert capsys.readouterr().out.count("event_erased") == 1  # the first one was the log's first
    await client.close()


async def test_a_damaged_event_is_left_out_and_reported(
    broker: EmbeddedBroker, log: JetStreamLog, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = await log.open(channel())
    await stream.enlist("mail")
    client = await nats.connect(broker.url, token=broker.token)
    await client.jetstream().publish(channel().subject("bad"), b"not an event")
    await stream.append(make_event(id="good"), expect=0)
    async with stream.follow(0) as batches, stream.work("mail") as work, asyncio.timeout(20):
        assert [stored.event.id for stored in await anext(batches)] == ["good"]
        assert (await anext(work)).stored.event.id == "good"
    with pytest.raises(Damaged):
        await stream.last("bad")
    assert "event_damaged" in capsys.readouterr().out
    await client.close()


def flip_a_bit(folder: Path) -> None:
    """Damage the third event where the broker keeps it."""
    block = next(folder.glob("jetstream/**/msgs/1.blk"))
    content = bytearray(block.read_bytes())
    content[content.index(b'"id":"r2"') + 6] ^= 1
    block.write_bytes(content)


async def test_a_flipped_bit_in_the_store_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        EmbeddedBroker(tmp_path) as broker,
        JetStreamLog.connect(broker.url, token=broker.token) as log,
    ):
        stream = await log.open(channel())
        for number in range(5):
            await stream.append(make_event(id=f"r{number}"), expect=0)
    flip_a_bit(tmp_path)
    async with (
        EmbeddedBroker(tmp_path) as broker,
        JetStreamLog.connect(broker.url, token=broker.token) as log,
    ):
        stream = await log.open(channel())
        async with stream.follow(0) as batches, asyncio.timeout(20):
            received = [stored.sequence for stored in await anext(batches)]
    assert received == [1, 2, 4, 5]
    assert "stream_gap" in capsys.readouterr().out


async def append_and_erase(broker: EmbeddedBroker, stream: EventStream) -> None:
    """Append three events, of which the server then does not find the last."""
    for number in range(3):
        await stream.append(make_event(id=f"r{number}"), expect=0)
    async with await nats.connect(broker.url, token=broker.token) as client:
        await client.jetstream().delete_msg(stream.channel.stream, 3)


async def test_a_missing_acknowledged_event_is_reported_and_skipped(
    broker: EmbeddedBroker, log: JetStreamLog, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server belongs to another process."""
    stream = await log.open(channel())
    await append_and_erase(broker, stream)
    async with stream.follow(0) as batches, asyncio.timeout(20):
        assert [stored.sequence for stored in await anext(batches)] == [1, 2]
        waiting = asyncio.ensure_future(anext(batches))
        printed = ""
        while "acknowledged_event_missing" not in printed:
            await asyncio.sleep(0.01)
            printed += capsys.readouterr().out
        await stream.append(make_event(id="r3"), expect=0)
        assert [stored.sequence for stored in await waiting] == [4]


async def test_an_event_that_was_delivered_and_then_erased_is_not_missing(
    broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    pid = broker.pid
    async with JetStreamLog.connect(broker.url, token=broker.token, renew=broker.renew) as log:
        stream = await log.open(channel())
        async with stream.follow(0) as live, asyncio.timeout(20):
            for number in range(3):
                await stream.append(make_event(id=f"r{number}"), expect=0)
            while (await anext(live))[-1].sequence < 3:
                pass
            async with await nats.connect(broker.url, token=broker.token) as client:
                await client.jetstream().delete_msg(stream.channel.stream, 3)
            async with stream.follow(0) as batches:
                assert [stored.sequence for stored in await anext(batches)] == [1, 2]
    assert broker.pid == pid
    assert "acknowledged_event_missing" not in capsys.readouterr().out


async def test_a_permanently_lost_acknowledged_event_ends_the_follower(
    broker: EmbeddedBroker,
) -> None:
    pid = broker.pid
    async with JetStreamLog.connect(broker.url, token=broker.token, renew=broker.renew) as log:
        stream = await log.open(channel())
        await append_and_erase(broker, stream)
        async with stream.follow(2) as batches, asyncio.timeout(20):
            with pytest.raises(EventHubError, match="event 3 of EH_chat was acknowledged"):
                await anext(batches)
    assert broker.pid != pid
