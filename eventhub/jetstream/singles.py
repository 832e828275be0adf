"""Singles: writes that are published one by one, in order, until each has its outcome.

That is how a few writes are stored, and the writes of a batch that is in doubt. Every write carries
its id (`Nats-Msg-Id`), so it may be sent again when its outcome is unknown.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog

from eventhub.errors import EventHubError, Unavailable
from eventhub.jetstream import api
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.publisher import Ack, Publisher
from eventhub.jetstream.write import Write
from eventhub.stream import Appended, WrongSequence

PAUSE_SECONDS = 0.05
"""Between two attempts, if the server refuses a write for now."""

_WRONG_SEQUENCE = 10071  # `err_code`s of nats-server
_NO_ROOM = 10023  # "insufficient resources": a full disk, or a limit of the account

logger = structlog.get_logger(__name__)


class Singles:
    """Stores writes of one stream, each as a message of its own."""

    def __init__(self, publisher: Publisher, connection: Connection, stream: str) -> None:
        self._publisher = publisher
        self._connection = connection
        self._stream = stream
        self._now = asyncio.get_running_loop().time

    async def store(self, writes: Sequence[Write]) -> None:
        """Store writes; return when each has its outcome."""
        left = [write for write in writes if not write.is_settled]
        while left:
            deadline = min(write.give_up for write in left)
            if await self._publisher.ready(deadline):
                left = await self._try(left)
            left = self._still_wanted(left)
            if left:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _try(self, writes: Sequence[Write]) -> list[Write]:
        """Publish writes, and settle those whose outcome is known then; return the others."""
        were_sent = [write.sent for write in writes]
        acks = await self._publish(writes)
        return [
            write
            for write, ack, was_sent in zip(writes, acks, were_sent, strict=True)
            if not await self._settle(write, ack, was_sent=was_sent)
        ]

    async def _publish(self, writes: Sequence[Write]) -> list[Ack | None]:
        """Publish writes together, and return the reply to each; None for one that did not come."""
        acks: list[Ack | None] = [None] * len(writes)
        left, all_came = len(writes), asyncio.Event()

        def on_ack(index: int, ack: Ack | None) -> None:
            nonlocal left
            acks[index] = ack
            left -= 1
            if not left:
                all_came.set()

        replies = [self._publisher.expect(partial(on_ack, index)) for index in range(len(writes))]
        pairs = zip(writes, replies, strict=True)
        commands = b"".join(write.command(reply) for write, reply in pairs)
        self._publisher.send(writes, commands, replies)
        await all_came.wait()  # the publisher has a deadline for each
        return acks

    def _still_wanted(self, writes: Sequence[Write]) -> list[Write]:
        """Give up the writes whose time is over, and return those that a caller waits for."""
        now = self._now()
        for write in writes:
            if now >= write.give_up:
                write.abandon()
        return [write for write in writes if not write.is_settled]

    async def _settle(self, write: Write, ack: Ack | None, *, was_sent: bool) -> bool:
        """Settle a write if its outcome is known; return whether it is.

        Args:
            write: the write.
            ack: the reply to this attempt.
            was_sent: an earlier attempt may have stored it.
        """
        if ack is None:
            return False
        if ack.error is None:
            write.settle(Appended(ack.seq, ack.duplicate))
            return True
        if ack.number == _WRONG_SEQUENCE:
            # A single server checks the expected sequence before it looks for the id, so a write
            # that is stored already looks like a conflict. With replicas the id comes first.
            conflict = WrongSequence("the row has another last event")
            return await self._settle_unless_stored(write, conflict)
        logger.warning("append_refused", subject=write.subject, reason=ack.error)
        write.sent = was_sent
        if ack.number != _NO_ROOM:
            return False
        refusal = Unavailable("the event log has no room; nothing was stored")
        if was_sent:
            return await self._settle_unless_stored(write, refusal)
        write.settle(refusal)
        return True

    async def _settle_unless_stored(self, write: Write, refusal: EventHubError) -> bool:
        """Settle a write as refused, or as a duplicate if an earlier attempt stored it.

        If one did, the event is the row's first after the one that the write expected. The server
        could be asked for the id alone, in a message that expects an impossible last id, but with
        replicas that message stops the stream for good (ADR-52).

        Returns:
            False if the broker does not answer; the write stays as it is.
        """
        query = {"seq": write.expect + 1, "next_by_subj": write.subject}
        try:
            next_event = await api.direct_get(self._connection, self._stream, query)
        except Unavailable:
            return False
        headers = (next_event.headers or {}) if next_event is not None else {}
        if headers.get("Nats-Msg-Id") == write.write_id:
            sequence = int(headers["Nats-Sequence"])
            self._publisher.note_stored(sequence)
            write.settle(Appended(sequence, duplicate=True))
        else:
            write.settle(refusal)
        return True
