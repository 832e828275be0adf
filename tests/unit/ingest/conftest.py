"""`write` sends messages to the endpoint whose log is `stream`."""

import pytest

from eventhub.memory import MemoryStream
from tests.unit.ingest.writer import CHANNEL, Writer


@pytest.fixture
def stream() -> MemoryStream:
    return MemoryStream(CHANNEL)


@pytest.fixture
def write(stream: MemoryStream) -> Writer:
    return Writer(stream)
