"""What the process of a SQLHandler is started with: a broker with a log, and a private folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.jetstream import JetStreamLog
from eventhub.stream import EventStream
from projections.sql.messages import ANSWERS, Setup, Table
from tests.builders import channel, make_event


@pytest.fixture
async def stream(log: JetStreamLog) -> EventStream:
    """A log of three rows."""
    stream = await log.open(channel())
    for number in range(3):
        row = {"text": "x", "votes": number, "id": f"r{number}", "user": None, "timestamp": None}
        await stream.append(make_event(id=f"r{number}", row=row), expect=0)
    return stream


@pytest.fixture
def setup(broker: EmbeddedBroker, stream: EventStream, tmp_path: Path) -> Callable[[], Setup]:
    folder = tmp_path / "sql"
    (folder / ANSWERS).mkdir(parents=True)
    return lambda: Setup(
        name="ask",
        folder=str(folder),
        tables=[Table("chat", list(channel().columns))],
        servers=[broker.url],
        token=broker.token,
        seconds=2.0,
        rows=1000,
        memory_bytes=256 << 20,
        log_level="error",
        log_format="json",
    )
