"""Singles: writes that are published one by one, in order, until each has its outcome.

That is how a few writes are stored, and the writes of a batch that is in doubt. Every write carries
its id (`Nats-Msg-Id`), so it may be sent again when its outcome is unknown.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from eventhub.errors import EventHubError, Unavailable
from eventhub.jetstream import api
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.publisher import Ack, Publisher
from eventhub.jetstream.write import Write
from eventhub.logs import limited
from eventhub.stream import Appended, WrongSequence

PAUSE_SECONDS = 0.05
"""Between two attempts, if the server refuses a write for now."""

_WRONG_SEQUENCE = 10071  # `err_code`s of nats-server
_NO_ROOM = 10023  # "insufficient resources": a full disk, or a limit of the account


class Unsettled(NamedTuple):
    """A write that an attempt did not store, as far as is known."""

    write: Write
    ack: Ack | None
    """The reply to this attempt; None if it did not come."""
    was_sent: bool
    """An earlier attempt may have stored it."""


OnReplies = Callable[[Sequence[Write], Sequence[Unsettled]], None]
"""Called once with the writes of an attempt, and those of them that are not settled."""


class Singles:
    """Stores writes of one stream, each as a message of its own."""

    def __init__(self, publisher: Publisher, connection: Connection, stream: str) -> None:
        self._publisher = publisher
        self._connection = connection
        self._stream = stream
        self._now = asyncio.get_running_loop().time

    def send(self, writes: Sequence[Write], on_replies: OnReplies) -> None:
        """Publish writes together, and settle each that is stored as soon as its reply comes.

        Args:
            writes: not settled; the publisher is ready.
            on_replies: called once every reply has come, or its deadline has passed.
        """
        left: list[Unsettled] = []
        missing = len(writes)

        def on_ack(write: Write, was_sent: bool, ack: Ack | None) -> None:
            nonlocal missing
            missing -= 1
            if ack is not None and ack.error is None:
                write.settle(Appended(ack.seq, ack.duplicate, len(write.payload)))
            else:
                left.append(Unsettled(write, ack, was_sent))
            if not missing:
                on_replies(writes, left)

        expect = self._publisher.expect
        replies = [expect(partial(on_ack, write, write.sent)) for write in writes]
        commands = b"".join(map(Write.command, writes, replies))
        self._publisher.send(writes, commands, replies)

    async def store(self, writes: Sequence[Write], tried: Sequence[Unsettled] = ()) -> None:
        """Store writes; return when each has its outcome.

        Args:
            writes: settled ones are left alone.
            tried: what `send` has left of them; the others were not sent by it.
        """
        for each in tried:
            await self._settle(each)
        left = [write for write in writes if not write.is_settled]
        while left:
            deadline = min(write.give_up for write in left)
            if await self._publisher.ready(deadline):
                for each in await self._try(left):
                    await self._settle(each)
            left = self._still_wanted(left)
            if left:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _try(self, writes: Sequence[Write]) -> Sequence[Unsettled]:
        """Publish writes; return those that are not settled when all replies have come."""
        replied: asyncio.Future[Sequence[Unsettled]] = asyncio.get_running_loop().create_future()

        def on_replies(_: Sequence[Write], left: Sequence[Unsettled]) -> None:
            if not replied.done():  # the hub may be stopping
                replied.set_result(left)

        self.send(writes, on_replies)
        return await replied  # the publisher has a deadline for each

    def _still_wanted(self, writes: Sequence[Write]) -> list[Write]:
        """Give up the writes whose time is over, and return those that a caller waits for."""
        now = self._now()
        for write in writes:
            if now >= write.give_up:
                write.abandon()
        return [write for write in writes if not write.is_settled]

    async def _settle(self, unsettled: Unsettled) -> None:
        """Settle a write whose reply says more than that it is stored, if its outcome is known."""
        write, ack, was_sent = unsettled
        if ack is None:
            return
        if ack.number == _WRONG_SEQUENCE:
            # A single server checks the expected sequence before it looks for the id, so a write
            # that is stored already looks like a conflict. With replicas the id comes first.
            conflict = WrongSequence("the row has another last event")
            await self._settle_unless_stored(write, conflict)
            return
        # Limited: without a quorum, each write that waits is refused 20 times a second.
        reason = str((ack.error or {}).get("description", ack.error))
        limited.warning("append_refused", by=self._stream, reason=reason, subject=write.subject)
        write.note_refused(reason, was_sent=was_sent)
        if ack.number != _NO_ROOM:
            return
        refusal = Unavailable("the event log has no room; nothing was stored")
        if was_sent:
            await self._settle_unless_stored(write, refusal)
        else:
            write.settle(refusal)

    async def _settle_unless_stored(self, write: Write, refusal: EventHubError) -> None:
        """Settle a write as refused, or as a duplicate if an earlier attempt stored it.

        If one did, the event is the row's first after the one that the write expected. The server
        could be asked for the id alone, in a message that expects an impossible last id, but with
        replicas that message stops the stream for good (ADR-52). If the broker does not answer,
        the write stays unsettled.
        """
        query = {"seq": write.expect + 1, "next_by_subj": write.subject}
        try:
            next_event = await api.get(self._connection, self._stream, query)
        except Unavailable:
            return
        if next_event is not None and write.id_header in next_event.headers:
            self._publisher.note_stored(next_event.sequence)
            write.settle(Appended(next_event.sequence, duplicate=True))
        else:
            write.settle(refusal)
