"""Fixtures for tests against the real broker."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.jetstream import JetStreamLog


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    """A nats-server of its own, in a folder of its own."""
    async with EmbeddedBroker(tmp_path / "data") as started:
        yield started


@pytest.fixture
async def log(broker: EmbeddedBroker) -> AsyncIterator[JetStreamLog]:
    """A log connected to `broker`."""
    async with JetStreamLog.connect(broker.url, token=broker.token) as connected:
        yield connected
