"""With three copies of each stream on three servers, a hub is right wherever it is connected."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import product

import nats
import nats.errors
import nats.js.errors
import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Unavailable
from eventhub.identity.expiry import wall_clock
from eventhub.identity.logins import RECORDS, Client, Logins, session_key, session_token
from eventhub.ingest.command import Command
from eventhub.ingest.draft import Draft
from eventhub.ingest.receipts import Receipts
from eventhub.ingest.row_cache import RowCache
from eventhub.ingest.settling import Settling
from eventhub.jetstream import JetStreamLog
from eventhub.methods import Method
from eventhub.stream import Appended, EventStream, WrongSequence
from projections.segment_file import ParquetSegments
from tests.builders import channel, make_event
from tests.cluster import SERVERS, Cluster
from tests.sealing import now, seal, seen, write

pytestmark = pytest.mark.xdist_group("cluster")


async def append(stream: EventStream, row: str, write: str, expect: int) -> Appended:
    async with asyncio.timeout(20):
        return await stream.append(make_event(id=row, write=write), expect=expect)


@pytest.mark.timeout(120)
async def test_processes_that_make_a_stream_together_open_it_or_may_try_again(
    servers: Cluster,
) -> None:
    async def opened(log: JetStreamLog, name: str) -> str:
        async with asyncio.timeout(30):
            while True:
                with suppress(Unavailable):  # only this is tried again at a start
                    return (await log.open(channel(name))).epoch

    async with (
        JetStreamLog.connect(servers.urls[0], replicas=SERVERS) as one,
        JetStreamLog.connect(servers.urls[1], replicas=SERVERS) as other,
    ):
        for number in range(6):
            name = f"raced {number}"
            epochs = await asyncio.gather(opened(one, name), opened(other, name))
            assert epochs[0] == epochs[1]


@pytest.mark.timeout(120)
async def test_a_refused_write_does_not_stop_a_stream_with_replicas(servers: Cluster) -> None:
    async with JetStreamLog.connect(servers.urls, replicas=SERVERS) as log:
        stream = await log.open(channel())
        assert await append(stream, "a", "w1", 0) == Appended(1, duplicate=False)
        with pytest.raises(WrongSequence):
            await append(stream, "a", "w2", 0)
        with pytest.raises(WrongSequence):
            await append(stream, "b", "w3", 7)
        assert await append(stream, "a", "w1", 0) == Appended(1, duplicate=True)
        assert await append(stream, "a", "w4", 1) == Appended(2, duplicate=False)
        assert await append(stream, "a", "w1", 0) == Appended(1, duplicate=True)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:  # an atomic batch
            for number in range(40):
                event = make_event(id=f"r{number}", write=f"b{number}")
                group.create_task(stream.append(event, expect=0))
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:  # one conflict rejects it
            refused = group.create_task(_refused(stream))
            for number in range(40):
                event = make_event(id=f"s{number}", write=f"c{number}")
                group.create_task(stream.append(event, expect=0))
        assert refused.result()
        assert await append(stream, "last", "w5", 0) == Appended(83, duplicate=False)


async def _refused(stream: EventStream) -> bool:
    try:
        await stream.append(make_event(id="a", write="w6"), expect=0)
    except WrongSequence:
        return True
    return False


@pytest.mark.timeout(120)
async def test_no_combination_of_the_headers_in_use_stops_a_stream(servers: Cluster) -> None:
    """Every header of a write, right and wrong, alone and in a batch."""
    async with JetStreamLog.connect(servers.urls, replicas=SERVERS) as log:
        stream = await log.open(channel())
        await append(stream, "a", "w1", 0)
    client = await nats.connect(servers.urls)
    try:
        subject = channel().subject("a")
        for number, (write, expect, is_batch) in enumerate(product(("w1", ""), "019", (0, 1))):
            headers = {
                "Nats-Msg-Id": write or f"new{number}",
                "Nats-Expected-Last-Subject-Sequence": expect,
            }
            if is_batch:
                headers["Nats-Batch-Id"] = f"batch{number}"
                headers |= {"Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"}
            answer = await client.request(subject, b"{}", timeout=5, headers=headers)
            assert answer.data, headers
        answer = await client.request(channel().subject("b"), b"{}", timeout=5)
        assert b'"error"' not in answer.data
    finally:
        await client.close()


@pytest.mark.timeout(120)
async def test_replicas_are_raised_by_the_configuration_and_never_lowered(
    servers: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    client = await nats.connect(servers.urls)
    try:

        async def replicas_after(replicas: int | None) -> list[int | None]:
            async with JetStreamLog.connect(servers.urls, replicas=replicas) as log:
                await log.open(channel())
                await log.records("mirrors")
            stream = client.jetstream()
            names = (channel().stream, "EVENTHUB_mirrors")
            return [(await stream.stream_info(name)).config.num_replicas for name in names]

        assert await replicas_after(None) == [1, 1]
        assert await replicas_after(SERVERS) == [SERVERS, SERVERS]
        assert await replicas_after(None) == [SERVERS, SERVERS]
        capfd.readouterr()
        assert await replicas_after(1) == [SERVERS, SERVERS]
        assert "replicas_kept" in "".join(capfd.readouterr())
    finally:
        await client.close()


OLD = Channel("chat", Columns([Column("text"), Column("votes")]))
NEW = Channel("chat", Columns([Column("text"), Column("votes", Kind.REAL), Column("mood")]))


def _put(**message: str) -> Draft:
    return Draft(
        command=Command.parse({"_method": "PUT", **message}),
        id=message["id"],
        time="2026-11-23T10:00:00.000000Z",
        endpoint="chat",
        user=None,
        message=message,
        broadcast=None,
    )


@pytest.mark.timeout(120)
async def test_a_put_of_older_columns_keeps_the_values_that_it_does_not_know(
    servers: Cluster,
) -> None:
    """As in a rolling upgrade, in which two gateways have different columns."""
    async with (
        JetStreamLog.connect(servers.urls, replicas=SERVERS) as log,
        JetStreamLog.connect(servers.urls, replicas=SERVERS) as other,
    ):
        old, new = await log.open(OLD), await other.open(NEW)
        first = {"id": "a", "text": "hello", "votes": 1.5, "mood": "good"}
        row = NEW.columns.new_row(first)
        made = make_event(id="a", row=row, message=first, columns=NEW.columns.signature)
        await new.append(made, expect=0)
        settling = Settling(old, RowCache(old), Receipts(old, after=0))
        for text in ("one", "two"):  # the second finds the first in the cache
            await settling.store(_put(id="a", text=text), reads_row=True)
        last = await new.last("a")
        assert last is not None
        assert last.event.row == {**row, "text": "two"}
        assert last.event.was == {"text": "one"}


@pytest.mark.timeout(120)
async def test_a_process_with_older_columns_knows_it_and_stores_nothing_that_newer_ones_would_lose(
    servers: Cluster,
) -> None:
    async with (
        JetStreamLog.connect(servers.urls, replicas=SERVERS) as log,
        JetStreamLog.connect(servers.urls, replicas=SERVERS) as other,
        JetStreamLog.connect(servers.urls, replicas=SERVERS) as again,
    ):
        for each in (log, other, again):
            each.watch(writes=True)
        old = await log.open(OLD)
        new = await other.open(NEW)
        restarted = await again.open(OLD)
        async with asyncio.timeout(20):
            while old.newer_columns is None:
                await asyncio.sleep(0.05)
        newest = [each.newer_columns for each in (old, restarted, new)]
        signature = NEW.columns.signature
        assert [each and each.signature for each in newest] == [signature, signature, None]


READS = 600
"""Without asking the leader, one in a hundred reads is too early."""


async def _read(log: JetStreamLog) -> None:
    """Append, and read at once, what only the leader has for certain."""
    stream, records = await log.open(channel()), await log.records("mirrors")
    before = datetime.now(UTC)
    for number in range(1, READS + 1):
        assert (await append(stream, f"r{number}", f"w{number}", 0)).sequence == number
        last = await stream.last(f"r{number}")
        assert last is not None, number
        assert last.sequence == number
        assert await stream.get(number) == last
        assert (await stream.bounds()).last == number
        await records.put("key", b"%d" % number)
        assert await records.get("key") == b"%d" % number
        if number == 1:
            assert await stream.sequence_before(before) == 0


@pytest.mark.timeout(120)
async def test_what_was_acknowledged_is_found_at_a_server_that_follows(servers: Cluster) -> None:
    async with JetStreamLog.connect(servers.urls, replicas=SERVERS) as log:
        await log.open(channel())
    follower = await servers.follower_of(channel().stream)
    async with JetStreamLog.connect(follower, replicas=SERVERS) as log:
        await _read(log)


@pytest.mark.timeout(120)
async def test_logins_hold_and_end_at_a_gateway_on_a_server_that_follows(servers: Cluster) -> None:
    async with JetStreamLog.connect(servers.urls, replicas=SERVERS) as log:
        here = await Logins.read(log)
        follower = await servers.follower_of(f"EVENTHUB_{RECORDS}")
        async with JetStreamLog.connect(follower, replicas=SERVERS) as other:
            there = await Logins.read(other)
            for number in range(50):
                await here.begin_session(str(number), "ann", wall_clock() + 600, Client("::1"))
                there = await Logins.read(other)  # as a gateway does that starts now
                assert there.state.get(session_key(str(number))) is not None, number
            ended = asyncio.Event()
            there.state.watch(frozenset((session_key("7"),)), 0.0, ended.set)
            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                following = group.create_task(there.run())
                await here.end_session(session_token("7"))
                await ended.wait()
                following.cancel()


@pytest.mark.timeout(120)
async def test_readers_at_any_server_see_what_was_sealed(servers: Cluster) -> None:
    connect = partial(JetStreamLog.connect, replicas=SERVERS, segments=ParquetSegments())
    async with connect(servers.urls) as log:
        whole, stream = await log.open(channel("whole")), await log.open(channel())
        async with connect(await servers.follower_of(channel().stream)) as far:
            unaware = await far.open(channel())
            moments = [now()]
            changes: list[tuple[Method, str]] = [("POST", "a"), ("POST", "b"), ("DELETE", "b")]
            await write([*changes, ("PUT", "a"), ("PUT", "a")], whole, stream)
            expected = await seen(whole, moments)
            sealer = await seal(log, stream, most_events=2)
            assert sealer.manifest.trimmed == 5
            assert await seen(unaware, moments) == expected
            assert await seen(await far.open(channel()), moments) == expected
            await write([("PUT", "b")], unaware)
        assert (await stream.bounds()).last == 6
