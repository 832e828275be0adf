"""Fixtures for tests that send mail."""

import socket
from collections.abc import AsyncIterator

import pytest

from tests.integration.alerts.sink import Sink


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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
