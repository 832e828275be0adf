"""Fixtures for tests that send mail."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.alerts.sink import Sink
from tests.ports import free_port


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """An SMTP server that accepts everything, unless a test changes that."""
    async with Sink.running() as started:
        yield started


@pytest.fixture
async def second_sink() -> AsyncIterator[Sink]:
    """Another SMTP server."""
    async with Sink.running() as started:
        yield started


@pytest.fixture
def unused_port() -> int:
    """A port of loopback that nothing listens on."""
    return free_port()
