"""A stream is in trouble if its leader is, whatever the server says to which a hub is connected."""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from nats.aio.msg import Msg

from eventhub.background import background
from eventhub.broker import EmbeddedBroker
from eventhub.jetstream import JetStreamLog, health
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.health import without_quorum
from eventhub.stream import EventStream
from tests.builders import channel, make_event
from tests.cluster import SERVERS, Cluster
from tests.integration.jetstream.writes import until
from tests.nats_server import nats_server

FRESH, STALE = 10**9, 9 * 10**9
"""Nanoseconds since a replica was heard of."""


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], ""),
        ([FRESH, FRESH], ""),
        ([FRESH, STALE], ""),
        ([STALE, STALE], "it has no quorum: 1 of 3 replicas answer"),
        ([FRESH, FRESH, STALE, STALE], ""),
        ([FRESH, STALE, STALE, STALE], "it has no quorum: 2 of 5 replicas answer"),
    ],
)
def test_a_quorum_is_more_than_half_of_all_replicas(others: Sequence[int], expected: str) -> None:
    replicas = [{"name": "n", "active": active} for active in others]
    assert without_quorum({"leader": "n0", "replicas": replicas}) == expected


def test_what_is_offline_or_has_no_leader_is_no_quorum() -> None:
    gone = [{"name": "n", "active": FRESH, "offline": True}] * 2
    assert "no quorum" in without_quorum({"leader": "n0", "replicas": gone})
    assert without_quorum({"replicas": [{"active": FRESH}] * 2}) == "it has no leader"
    assert without_quorum({}) == ""  # a server without a cluster


async def until_trouble(stream: EventStream, expected: str) -> None:
    """Wait until the trouble of a stream has a text in it; without a text, until it is over."""
    async with asyncio.timeout(40):
        while expected not in stream.trouble or bool(expected) is not bool(stream.trouble):
            await asyncio.sleep(0.05)


@pytest.mark.xdist_group("cluster")
@pytest.mark.timeout(150)
async def test_a_stream_without_a_quorum_is_in_trouble_until_it_has_one_again(
    servers: Cluster, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(health, "LEAVE_SECONDS", 1.0)
    async with JetStreamLog.connect(servers.url(0), replicas=SERVERS) as log:
        log.watch(writes=True)
        stream = await log.open(channel())
        await stream.append(make_event(id="a"), expect=0)
        for number in (1, 2):
            servers.end(number, signal.SIGKILL)
        try:
            await until_trouble(stream, "it")
            async with asyncio.timeout(20):  # perhaps another server is on a side that works
                while "broker_left" not in "".join(capfd.readouterr()):
                    await asyncio.sleep(0.05)
        finally:
            for number in (1, 2):
                servers.start(number)
        await until_trouble(stream, "")
        await servers.ready()
        assert (await stream.append(make_event(id="b"), expect=0)).sequence == 2  # probes left none


async def test_an_election_is_no_trouble_unless_it_takes_long(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker has no such domain: its answers are those of a cluster that holds an election."""
    monkeypatch.setattr(health, "ROUND_SECONDS", 0.02)
    monkeypatch.setattr(health, "TROUBLE_SECONDS", 1.5)
    cluster = {"leader": "", "replicas": [{"name": "n", "active": FRESH}] * 2}
    info = {"config": {"metadata": {}}, "state": {"last_seq": 0}, "cluster": cluster}
    asked = 0

    async def answer(question: Msg) -> None:
        nonlocal asked
        asked += 1
        await question.respond(msgspec.json.encode(info))

    client = await nats.connect(broker.url, token=broker.token)
    await client.subscribe("$JS.elected.API.STREAM.INFO.>", cb=answer)
    async with (
        Connection.open(servers=broker.url, token=broker.token, domain="elected") as connection,
        background() as tasks,
    ):
        watching, stream = health.Health(connection, writes=False), channel().stream
        watching.watch(channel(), info)
        tasks.start(watching.run(), name="health")
        await until(lambda: asked > 2)
        assert not watching.trouble(stream)
        await until(lambda: watching.trouble(stream))
        assert watching.trouble(stream) == "it has no leader"
        cluster["leader"] = "n"
        await until(lambda: not watching.trouble(stream))
    await client.close()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A nats-server with a user who may do everything, and one who may not publish events."""
    everything: dict[str, Any] = {"user": "writer", "password": "w"}
    denied = {"publish": {"deny": "eh.>"}}
    reader = {"user": "reader", "password": "r", "permissions": denied}
    config = {
        "jetstream": {"store_dir": str(tmp_path / "js")},
        "authorization": {"users": [everything, reader]},
    }
    with nats_server(tmp_path, config) as url:
        yield url


async def test_a_writer_without_the_right_to_write_is_in_trouble_and_a_reader_is_not(
    url: str,
) -> None:
    async with JetStreamLog.connect(url, login=("writer", "w")) as log:
        log.watch(writes=True)
        allowed = await log.open(channel())
        async with (
            JetStreamLog.connect(url, login=("reader", "r")) as reading,
            JetStreamLog.connect(url, login=("reader", "r")) as writing,
        ):
            reading.watch(writes=False)
            writing.watch(writes=True)
            reader, writer = await reading.open(channel()), await writing.open(channel())
            await until_trouble(writer, "the user may not publish")
            assert not reader.trouble
            assert not allowed.trouble
        assert await allowed.end() == 0  # nothing was stored to find that out
