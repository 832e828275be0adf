"""Watcher: all records of a store, then whatever is put, over any outage.

Its consumer (`ephemeral`) begins with the first record. After any doubt it is thrown away, and
everything is read again: there are a few thousand records at most, and a record that has vanished
meanwhile leaves no message that could be missed.
"""

from typing import Self

import structlog

from eventhub.jetstream import api
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.ephemeral import Ephemeral
from eventhub.jetstream.pull import Pull
from eventhub.jetstream.puller import Puller
from eventhub.stream import Record, Watched

BATCH = 1000
"""Messages that are under way or wait."""

logger = structlog.get_logger(__name__)


class Watcher:
    """An asynchronous iterator of what `Records.watch` yields. A cancelled `anext` loses nothing.

    Args:
        connection: to the servers.
        stream: its name.
        prefix: of its subjects; a key stands behind it.
    """

    def __init__(self, connection: Connection, stream: str, prefix: str) -> None:
        self._connection = connection
        self._stream = stream
        self._prefix = prefix
        self._newest = 0
        """Sequence of the newest record when the consumer was made; 0 if there was none."""
        self._whole: list[Record] | None = None
        """The records so far, until all are there; then None."""
        self._consumers = Ephemeral(connection, stream, "watcher")
        self._puller = Puller(connection, self._start, self._on_reset)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Watched:
        while True:
            await self._puller.started()
            if self._whole is not None and not self._newest:
                self._whole = None
                return Watched([], is_whole=True)
            if (pull := await self._puller.attempt()) is None:
                continue
            records = self._take(pull)
            if self._whole is None:
                return Watched(records, is_whole=False)
            self._whole += records
            if records[-1].sequence >= self._newest:
                whole, self._whole = self._whole, None
                return Watched(whole, is_whole=True)

    async def close(self) -> None:
        """Stop watching."""
        await self._puller.close()

    async def _start(self) -> Pull:
        consumer = await self._consumers.make(deliver_policy="all")
        newest = await api.get(self._connection, self._stream, {"last_by_subj": f"{self._prefix}>"})
        self._newest = 0 if newest is None else newest.sequence
        self._whole = []
        pull = Pull(self._connection, consumer.path, count=BATCH, overdue=self._is_incomplete)
        return await pull.open()

    def _is_incomplete(self) -> bool:
        """Return whether the newest record should have come by now: it may have expired."""
        return self._whole is not None and self._newest > 0

    def _on_reset(self, reason: str) -> None:
        logger.info("watcher_reset", stream=self._stream, reason=reason)

    def _take(self, pull: Pull) -> list[Record]:
        records = [
            Record(message.subject.removeprefix(self._prefix), message.data, place.sequence)
            for place, message in pull.messages
        ]
        pull.messages.clear()
        return records
