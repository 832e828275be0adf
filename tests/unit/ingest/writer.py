"""A writer at one endpoint, over a log in memory."""

from collections.abc import Coroutine
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from eventhub.channel import Channel, Endpoint
from eventhub.columns import Column, Columns, Kind
from eventhub.config import MessageEndpoint
from eventhub.errors import EventHubError
from eventhub.event import Event
from eventhub.handler import Handler, User
from eventhub.hooks import Hooks
from eventhub.ingest.command import Sender
from eventhub.ingest.receipts import Receipt, Receipts
from eventhub.ingest.row_cache import RowCache
from eventhub.ingest.run import Outcome
from eventhub.ingest.settling import Settling
from eventhub.ingest.writing import Ingest
from eventhub.memory import MemoryStream
from eventhub.memory_signals import MemorySignals

CHANNEL = Channel(
    "chat", Columns([Column("text"), Column("votes", Kind.INTEGER), Column("data", Kind.JSON)])
)
NOW = datetime(2026, 11, 23, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
ALICE = User({"id": "alice"})


def handler(user: User | None = None) -> Handler:
    return Handler(current_user=user, session={"id": "s1"})


class Writer:
    """The ingest of one process; a test decides when it notes the events of other processes."""

    def __init__(self, stream: MemoryStream, *, after: int = 0, **hooks: Any) -> None:
        config = MessageEndpoint(name="front", pattern="/chat", table="chat", **hooks)
        self.stream = stream
        self.rows = RowCache(stream)
        self.receipts = Receipts(stream, after=after)
        self._ingest = Ingest(
            Endpoint(config, stream.channel),
            Hooks(config, Path()),
            stream,
            Settling(stream, self.rows, self.receipts),
            self._spawn,
            MemorySignals(),
            now=lambda: NOW + timedelta(microseconds=stream.length),  # a log takes time
        )

    async def __call__(self, raw: object = None, /, **message: Any) -> Receipt:
        [outcome] = await self.all(message if raw is None else raw)
        if isinstance(outcome, EventHubError):
            raise outcome
        assert isinstance(outcome, Receipt)
        return outcome

    async def all(self, *raw: object, sender: Handler | None = None) -> list[Outcome]:
        """Write messages as of one array."""
        client = Sender(sender or handler(ALICE))
        return [one async for run in self._ingest.write(raw, client) for one in run]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        raise AssertionError("`write` settles what it has to")

    async def event(self, **message: Any) -> Event:
        receipt = await self(message)
        return self.stream.at(receipt.sequence).event


async def outcome(writing: Any) -> str:
    try:
        await writing
    except EventHubError as error:
        return error.code
    return "stored"
