"""Logs for the contract tests: in memory, on a nats-server, and on three with three copies."""

from collections.abc import AsyncIterator
from typing import Final

import pytest

from eventhub.jetstream import JetStreamLog
from eventhub.memory import MemoryLog
from eventhub.stream import EventStream, Log
from tests.builders import channel
from tests.cluster import SERVERS, Cluster

ON_CLUSTER: Final = pytest.param("log_on_cluster", marks=pytest.mark.xdist_group("cluster"))


@pytest.fixture(params=["memory_log", "log", ON_CLUSTER])
def any_log(request: pytest.FixtureRequest) -> Log:
    """A log of each kind."""
    log: Log = request.getfixturevalue(request.param)
    return log


@pytest.fixture
def memory_log() -> MemoryLog:
    """A log in memory."""
    return MemoryLog()


@pytest.fixture
async def log_on_cluster(servers: Cluster) -> AsyncIterator[JetStreamLog]:
    """A log connected to a server that follows the leader of the first stream."""
    async with JetStreamLog.connect(servers.urls, replicas=SERVERS) as first:
        await first.open(channel())
    url = await servers.follower_of(channel().stream)
    async with JetStreamLog.connect(url, replicas=SERVERS) as connected:
        yield connected


@pytest.fixture
async def stream(any_log: Log) -> EventStream:
    """The empty stream of a channel."""
    return await any_log.open(channel())
