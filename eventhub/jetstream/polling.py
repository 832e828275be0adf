"""Polling: the next events of a stream without a consumer, while one cannot be made.

The meta leader of a cluster places consumers. If it is lost, a new one is elected after 4 to 10 s;
until then no consumer can be made, but streams can be read and written to.
"""

import asyncio

from eventhub.channel import Channel
from eventhub.errors import Unavailable
from eventhub.jetstream import api
from eventhub.jetstream.api import sequence_of
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.parser import Message
from eventhub.jetstream.stream_state import state_in_epoch

POLL_SECONDS = 0.1
"""Until the first poll, and between two of them while they find something."""
MOST_POLL_SECONDS = 1.0
"""Between two polls that find nothing: a process may have a thousand idle tables."""
ANSWER_SECONDS = 0.3
"""How long the first poll may take; it usually takes 2 ms.

A third of the reads goes to a server that has just been frozen. Each further poll asks another
one, perhaps, and may take twice as long, until one is answered."""
MOST_ANSWER_SECONDS = 2.4


class Polling:
    """Reads the stream of one follower.

    Args:
        connection: to the servers.
        channel: whose stream it is.
        epoch: of the stream.
    """

    def __init__(self, connection: Connection, channel: Channel, epoch: str) -> None:
        self._connection = connection
        self._channel = channel
        self._epoch = epoch
        self.pause_seconds = POLL_SECONDS
        """How long to wait before the next poll."""
        self._answer_seconds = ANSWER_SECONDS

    async def poll(
        self, after: int, count: int, max_bytes: int
    ) -> list[tuple[int, Message]] | None:
        """Return the next messages, which follow `after` and each other without a gap.

        Args:
            after: sequence before the first message.
            count: the most messages that are returned.
            max_bytes: of all of them.

        Returns:
            The messages with their sequences; None if the leader of the stream does not answer in
            time, so that nothing is known.

        Raises:
            EventHubError: the stream was deleted, and perhaps made again.
        """
        try:
            async with asyncio.timeout(self._answer_seconds):
                found = await self._next(after, count, max_bytes)
        except (TimeoutError, Unavailable):
            self._answer_seconds = min(2 * self._answer_seconds, MOST_ANSWER_SECONDS)
            return None
        self._answer_seconds = ANSWER_SECONDS
        self.pause_seconds = (
            POLL_SECONDS if found else min(2 * self.pause_seconds, MOST_POLL_SECONDS)
        )
        return found

    async def _next(self, after: int, count: int, max_bytes: int) -> list[tuple[int, Message]]:
        if (await self._state())["last_seq"] <= after:
            return []
        found = await next_messages(self._connection, self._channel, after, count, max_bytes)
        if found:
            await self._state()  # asked afterwards, this proves that they are of this epoch
        return found

    async def _state(self) -> dict[str, int]:
        return await state_in_epoch(self._connection, self._channel.stream, self._epoch)


async def next_messages(
    connection: Connection, channel: Channel, after: int, count: int, max_bytes: int
) -> list[tuple[int, Message]]:
    """Return the messages that follow a sequence without a gap, as some replica has them.

    Raises:
        Unavailable: no answer in time, or one that says nothing of the messages.
    """
    query = {
        "seq": after + 1,
        "batch": count,
        "max_bytes": max_bytes,
        "next_by_subj": f"{channel.prefix}*",
    }
    found = await api.direct_get_batch(connection, channel.stream, query)
    messages: list[tuple[int, Message]] = []
    for expected, message in enumerate(found, after + 1):
        if sequence_of(message) != expected:
            break
        messages.append((expected, message))
    return messages
