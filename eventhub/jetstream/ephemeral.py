"""Ephemeral: consumers that one reader makes for itself, and makes again after any doubt.

They are unacknowledged, in memory, without a copy and without a filter, so they are cheap to make.
"""

from secrets import token_hex
from typing import Any, NamedTuple

from eventhub.errors import Unavailable
from eventhub.jetstream import api
from eventhub.jetstream.api import NANOSECONDS
from eventhub.jetstream.connection import Connection

INACTIVE_SECONDS = 30
"""After this time the server deletes a consumer that its reader does not pull from."""
MADE_SECONDS = 0.5
"""How long the first attempt waits. Usually it takes 1 ms, on a cluster 20.

A cluster may place a consumer on a server that has just died, and never answer. Each further
attempt makes another one, which may be placed elsewhere, and waits twice as long."""
MOST_MADE_SECONDS = 4.0


class Consumer(NamedTuple):
    """A consumer that was just made."""

    path: str
    """`<stream>.<consumer>`: its name in the subjects of the API."""
    server: str
    """The name of the server that serves it; empty without a cluster."""
    pending: int
    """How many messages wait for it."""


class Ephemeral:
    """Makes the consumers of one reader.

    Args:
        connection: to the servers.
        stream: its name.
        reader: the kind of reader, which the name of a consumer begins with.
    """

    def __init__(self, connection: Connection, stream: str, reader: str) -> None:
        self._connection = connection
        self._stream = stream
        self._reader = reader
        self._seconds = MADE_SECONDS

    async def make(self, **start: Any) -> Consumer:
        """Make a consumer; a bounded number are made at once.

        Args:
            start: what says where it starts, in the words of the API.

        Raises:
            Unavailable: there is no answer, or no leader: make another one.
            ApiError: JetStream refused it.
        """
        name = f"{self._reader}-{token_hex(8)}"
        config = {
            "name": name,
            "ack_policy": "none",
            "max_deliver": 1,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": INACTIVE_SECONDS * NANOSECONDS,
            **start,
        }
        body = {"stream_name": self._stream, "config": config, "action": "create"}
        path = f"{self._stream}.{name}"
        seconds, self._seconds = self._seconds, min(2 * self._seconds, MOST_MADE_SECONDS)
        try:
            async with self._connection.making:
                info = await api.call(
                    self._connection, f"CONSUMER.CREATE.{path}", body, within=seconds
                )
        except Unavailable:
            await self._connection.publish(f"{self._connection.api}.CONSUMER.DELETE.{path}", b"")
            raise
        self._seconds = MADE_SECONDS
        server = (info.get("cluster") or {}).get("leader") or ""
        return Consumer(path, server, info.get("num_pending", 0))
