"""Polling: the next events of a stream without a consumer, while one cannot be made.

The meta leader of a cluster places consumers. If it is lost, a new one is elected after 4 to 10 s;
until then no consumer can be made, but streams can be read and written to. Polls ask the leader of
the stream: any other server may be the one that was lost, and would get a part of the questions.
"""

import asyncio

from eventhub.background import side_by_side
from eventhub.channel import Channel
from eventhub.errors import Unavailable
from eventhub.jetstream import api
from eventhub.jetstream.api import StoredMessage
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.stream_state import state_in_epoch

POLL_SECONDS = 0.1
"""Until the first poll, and between two of them while they find something."""
MOST_POLL_SECONDS = 1.0
"""Between two polls that find nothing: a process may have a thousand idle tables."""
READ_SECONDS = 0.1
"""After this time a poll returns what it has read."""
ANSWER_SECONDS = 0.5
"""How long a poll waits for the leader; one that finds nothing usually takes 1 ms."""
READS_AT_ONCE = 16


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

    async def poll(self, after: int) -> list[StoredMessage] | None:
        """Return the next messages, which follow `after` and each other without a gap.

        Args:
            after: sequence before the first message.

        Returns:
            The messages; None if the leader of the stream does not answer in time.

        Raises:
            EventHubError: the stream was deleted, and perhaps made again.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await self._next(after)
        except (TimeoutError, Unavailable):
            return None
        longer = min(2 * self.pause_seconds, MOST_POLL_SECONDS)
        self.pause_seconds = POLL_SECONDS if found else longer
        return found

    async def _next(self, after: int) -> list[StoredMessage]:
        now = asyncio.get_running_loop().time
        end = (await self._state())["last_seq"] + 1
        enough_at = now() + READ_SECONDS
        found: list[StoredMessage] = []
        is_whole = True
        while is_whole and now() < enough_at and (start := after + len(found) + 1) < end:
            wanted = range(start, min(start + READS_AT_ONCE, end))
            for message in await side_by_side(self._get, wanted, READS_AT_ONCE):
                if message is None:
                    is_whole = False
                    break
                found.append(message)
        if found:
            await self._state()  # asked afterwards, this proves that they are of this epoch
        return found

    async def _get(self, sequence: int) -> StoredMessage | None:
        return await api.get(self._connection, self._channel.stream, {"seq": sequence})

    async def _state(self) -> dict[str, int]:
        return await state_in_epoch(self._connection, self._channel.stream, self._epoch)
