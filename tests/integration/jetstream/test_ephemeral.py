"""A consumer is made where it can be, even if a server of the cluster has just died."""

import asyncio
import signal
from contextlib import suppress

import pytest

from eventhub.errors import Unavailable
from eventhub.jetstream import JetStreamLog, api
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.ephemeral import MADE_SECONDS, Ephemeral
from tests.builders import channel, make_event
from tests.cluster import SERVERS, Cluster

STREAM = channel().stream


async def test_a_consumer_starts_where_its_reader_says(
    connection: Connection, log: JetStreamLog
) -> None:
    stream = await log.open(channel())
    for row in "abc":
        await stream.append(make_event(id=row), expect=0)
    start = {"deliver_policy": "by_start_sequence", "opt_start_seq": 3}
    consumers = Ephemeral(connection, STREAM, "reader")
    first, second = [await consumers.make(**start) for _ in range(2)]
    assert first != second
    info = await api.call(connection, f"CONSUMER.INFO.{first.path}")
    assert info["name"].startswith("reader-")
    assert (info["num_pending"], first.pending, first.server) == (1, 1, "")


@pytest.mark.xdist_group("cluster")
@pytest.mark.timeout(120)
async def test_after_the_death_of_a_server_further_attempts_are_placed_elsewhere(
    servers: Cluster,
) -> None:
    leader = servers.meta_leader()
    victim = (leader + 1) % SERVERS
    async with Connection.open(servers=servers.url(leader)) as connection:
        async with JetStreamLog.connect(servers.url(leader), replicas=SERVERS) as log:
            await log.open(channel())
        place = {"placement": {"preferred": f"n{leader}"}}
        with suppress(api.ApiError):  # it leads already
            await api.call(connection, f"STREAM.LEADER.STEPDOWN.{STREAM}", place)
        servers.end(victim, signal.SIGKILL)
        try:
            consumers, made, failed = Ephemeral(connection, STREAM, "reader"), 0, 0
            async with asyncio.timeout(60):
                while made < 6 or not failed:  # two of three are placed well
                    try:
                        await consumers.make(deliver_policy="all")
                        made += 1
                        assert consumers._seconds == MADE_SECONDS
                    except Unavailable:
                        failed += 1
            assert failed < made
        finally:
            servers.start(victim)
            await servers.ready()
