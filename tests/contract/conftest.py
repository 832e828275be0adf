"""Logs for the contract tests: one in memory, and one on a real nats-server."""

import pytest

from eventhub.memory import MemoryLog
from eventhub.stream import EventStream, Log
from tests.builders import channel


@pytest.fixture(params=["memory", "jetstream"])
def any_log(request: pytest.FixtureRequest) -> Log:
    """A log of each kind."""
    if request.param == "memory":
        return MemoryLog()
    log: Log = request.getfixturevalue("log")
    return log


@pytest.fixture
async def stream(any_log: Log) -> EventStream:
    """The empty stream of a channel."""
    return await any_log.open(channel())
