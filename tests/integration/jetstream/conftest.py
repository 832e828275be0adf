"""Fixtures for the parts of `eventhub.jetstream`: a connection, directly or over a bad network."""

from collections.abc import AsyncIterator

import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.jetstream.connection import Connection
from tests.faults.proxy import Proxy


@pytest.fixture
async def connection(broker: EmbeddedBroker) -> AsyncIterator[Connection]:
    """A connection to `broker`."""
    async with Connection.open(servers=broker.url, token=broker.token) as connected:
        yield connected


@pytest.fixture
async def proxy(broker: EmbeddedBroker) -> AsyncIterator[Proxy]:
    """A network that can be cut, between `broker` and `far`."""
    async with Proxy(int(broker.url.rpartition(":")[2])).running() as running:
        yield running


@pytest.fixture
async def far(broker: EmbeddedBroker, proxy: Proxy) -> AsyncIterator[Connection]:
    """A connection to `broker` through `proxy`."""
    async with Connection.open(servers=proxy.url, token=broker.token) as connected:
        yield connected
