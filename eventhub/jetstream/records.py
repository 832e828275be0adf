"""JetStreamRecords: small durable values by key, each the last message of its subject."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eventhub.jetstream import api
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.watching import Watcher
from eventhub.stream import Watched


class JetStreamRecords:
    """Records in a stream that keeps the last message of each subject.

    Args:
        connection: to the servers.
        stream: the stream's name.
        prefix: of its subjects; a key stands behind it.
    """

    def __init__(self, connection: Connection, stream: str, prefix: str) -> None:
        self._connection = connection
        self._stream = stream
        self._prefix = prefix

    async def put(self, key: str, value: bytes, *, seconds: float | None = None) -> int:
        """Store a value durably, and return its sequence."""
        whole = None if seconds is None else max(1, math.ceil(seconds))
        return await api.store(self._connection, self._prefix + key, value, seconds=whole)

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None."""
        query = {"last_by_subj": self._prefix + key}
        message = await api.get(self._connection, self._stream, query)
        return None if message is None else message.data

    async def delete(self, key: str) -> None:
        """Forget a key."""
        body = {"filter": self._prefix + key}
        await api.call(self._connection, f"STREAM.PURGE.{self._stream}", body)

    async def items(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return the keys below a prefix with their values, oldest first."""
        found: list[tuple[str, bytes]] = []
        query = {"seq": 1, "next_by_subj": f"{self._prefix}{prefix}.>"}
        while message := await api.get(self._connection, self._stream, query):
            found.append((message.subject.removeprefix(self._prefix), message.data))
            query["seq"] = message.sequence + 1
        return found

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[Watched]]:
        """Iterate over all records, and what is put from then on."""
        watcher = Watcher(self._connection, self._stream, self._prefix)
        try:
            yield watcher
        finally:
            await watcher.close()
