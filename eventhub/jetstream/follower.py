"""Follower: all events of a stream after a sequence, in order, each once, over any outage.

After any doubt its consumer (`ephemeral`) is thrown away, and another one starts at the next
sequence. That sequence is the only state. In a test, 24 faults over 65,834 events lost and repeated
none. While a cluster cannot make another consumer, the next events are read without one
(`polling`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Self

import structlog

from eventhub.channel import Channel
from eventhub.errors import EventHubError, Unavailable
from eventhub.jetstream import api
from eventhub.jetstream.api import StoredMessage
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.damage import Read, T, read_or_report, report_holes, report_lost
from eventhub.jetstream.ephemeral import Ephemeral
from eventhub.jetstream.polling import POLL_SECONDS, Polling
from eventhub.jetstream.pull import Pull
from eventhub.jetstream.puller import Puller
from eventhub.jetstream.stream_state import state_in_epoch, state_with_deleted
from eventhub.metrics import FOLLOWER_PAUSES, FOLLOWER_RESETS

BATCH = 1000
"""Messages that are under way or wait."""

logger = structlog.get_logger(__name__)


class Trimmed(Exception):  # noqa: N818 - it is not an error: the events are in segments
    """The next events have left the stream, because they are sealed."""


class Marks:
    """What this process knows of a stream, shared by all its followers.

    Args:
        acknowledged: returns the highest sequence that the server acknowledged as stored.
        sealed: returns the last sealed sequence, as it is written down now.
    """

    def __init__(
        self, acknowledged: Callable[[], int], sealed: Callable[[], Awaitable[int]]
    ) -> None:
        self._acknowledged = acknowledged
        self.sealed = sealed
        self.received = 0
        """Highest sequence that any follower received: if it is gone later, it was erased."""

    def unreceived(self) -> int:
        """Return the highest acknowledged sequence if no follower has received it; otherwise 0."""
        newest = self._acknowledged()
        return newest if newest > self.received else 0


class Follower(Generic[T]):
    """An asynchronous iterator of non-empty batches. A cancelled `anext` loses nothing.

    Args:
        read: makes an event of each message.
        connection: to the servers.
        channel: whose stream it is.
        epoch: of the stream; in another one the follower fails.
        after: sequence before the first event.
        marks: of the stream.
    """

    def __init__(
        self,
        read: Read[T],
        connection: Connection,
        channel: Channel,
        epoch: str,
        after: int,
        marks: Marks,
    ) -> None:
        self._read = read
        self._connection = connection
        self._channel = channel
        self._epoch = epoch
        self._next = after + 1
        self._marks = marks
        self._missed = 0  # the acknowledged event that was not there when it was looked for
        self._holes: int | None = None
        self._consumers = Ephemeral(connection, channel.stream, "follower")
        self._puller = Puller(connection, self._start, self._on_reset)
        self._polling = Polling(connection, channel, epoch)
        self._is_on_cluster = False
        self._paused_at: float | None = None
        """On the clock of the loop: since when nothing may have come; None while it may."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[T]:
        while True:
            seconds = self._polling.pause_seconds if self._is_on_cluster else None
            if await self._puller.started_within(seconds) is None:
                if events := await self._poll():
                    return events
                continue
            self._polling.pause_seconds = POLL_SECONDS
            self._go_on("another consumer")
            if (pull := await self._puller.attempt()) is None or not self._drop_known(pull):
                continue
            try:
                missing = self._missing(pull)
                left_out = await self._left_out(missing) if missing else []
            except Unavailable as error:
                pull.suspect(error.message)
                continue
            if events := self._take(pull, left_out):
                return events

    async def close(self) -> None:
        """Stop following."""
        await self._puller.close()

    async def _start(self) -> Pull:
        consumer = await self._consumers.make(
            deliver_policy="by_start_sequence", opt_start_seq=self._next
        )
        stream, read = self._channel.stream, self._next - 1
        # Asked after the consumer was made, this proves that it is one of this epoch.
        state = await state_in_epoch(self._connection, stream, self._epoch)
        if state["last_seq"] < read:
            raise EventHubError(
                f"stream {stream} ends at {state['last_seq']}, but {read} was read"
                " already: it was cut off or restored from an older copy"
            )
        await self._report_new_holes(state)
        await self._look_for_acknowledged()
        self._is_on_cluster = bool(consumer.server)
        pull = Pull(
            self._connection,
            consumer.path,
            count=BATCH,
            overdue=self._is_overdue,
            rests_with=consumer.server,
            is_busy=consumer.pending > 0,
        )
        return await pull.open()

    def _is_overdue(self) -> bool:
        """Tell whether an acknowledged event should have come by now."""
        return self._marks.unreceived() > max(self._next - 1, self._missed)

    async def _look_for_acknowledged(self) -> None:
        """Restart the server if it does not find an event that it acknowledged.

        After a flipped bit in a sequence, nats-server 2.15.1 may list sequences as deleted that are
        still to come. It stores and acknowledges those events, and hides them.
        """
        newest = self._marks.unreceived()
        if newest < self._next or await self._get(newest) is not None:
            return
        stream, is_reported = self._channel.stream, self._missed == newest
        self._missed = newest
        if not is_reported:
            logger.error("acknowledged_event_missing", channel=self._channel.name, sequence=newest)
        if self._connection.renew is None:
            return
        if is_reported:
            raise EventHubError(f"event {newest} of {stream} was acknowledged, and is gone")
        await self._connection.renew(stream)
        raise Unavailable("the event log is restarted")

    async def _report_new_holes(self, state: dict[str, Any]) -> None:
        """Raise the alarm if the server came back with fewer events than were read."""
        holes = state["first_seq"] + state.get("num_deleted", 0)
        if self._holes is not None and holes > self._holes:
            sealed = await self._marks.sealed()
            await report_holes(self._connection, self._channel, self._epoch, state, sealed)
        self._holes = holes

    def _on_reset(self, reason: str) -> None:
        FOLLOWER_RESETS.labels(self._channel.name).inc()
        logger.info("follower_reset", channel=self._channel.name, at=self._next, reason=reason)
        if self._paused_at is None:
            self._paused_at = self._puller.heard_at

    def _go_on(self, by: str) -> None:
        """Note that events come again: the leader of the stream has just answered."""
        if self._paused_at is None:
            return
        seconds = asyncio.get_running_loop().time() - self._paused_at
        self._paused_at = None
        FOLLOWER_PAUSES.observe(seconds)
        logger.info(
            "follower_goes_on", channel=self._channel.name, paused_seconds=round(seconds, 3), by=by
        )

    async def _poll(self) -> list[T]:
        """Return the next events, if there are some, without a consumer."""
        messages = await self._polling.poll(self._next - 1)
        if messages is None:
            return []
        self._go_on("polls")
        events = []
        for message in messages:
            event = read_or_report(self._read, message, message.sequence, self._channel)
            if event is not None:
                events.append(event)
        if messages:
            self._move_to(messages[-1].sequence)
        return events

    def _move_to(self, sequence: int) -> None:
        self._next = sequence + 1
        self._marks.received = max(self._marks.received, sequence)

    def _drop_known(self, pull: Pull) -> bool:
        """Drop messages that polls have brought since the consumer was made; tell if some stay."""
        while pull.messages and pull.messages[0][0].sequence < self._next:
            pull.messages.popleft()
        return bool(pull.messages)

    def _take(self, pull: Pull, left_out: list[T]) -> list[T]:
        """Return the events of the received messages, and move on to the next sequence."""
        events = [*left_out]
        for place, message in pull.messages:
            event = read_or_report(self._read, message, place.sequence, self._channel)
            if event is not None:
                events.append(event)
        if left_out:
            events.sort(key=lambda event: event.sequence)
        self._move_to(pull.messages[-1][0].sequence)
        pull.messages.clear()
        return events

    async def _left_out(self, missing: list[range]) -> list[T]:
        """Return the events that the consumer left out although they exist.

        After a flipped bit the server leaves out messages without a word. An event that cannot be
        read singly either is lost, and reported.

        Args:
            missing: the gaps; at least one.
        """
        if missing[0].start <= (sealed := await self._marks.sealed()):
            raise Trimmed
        # What was trimmed may be millions of sequences, which cannot be listed.
        ask = state_in_epoch if sealed else state_with_deleted
        state = await ask(self._connection, self._channel.stream, self._epoch)
        first, deleted = state["first_seq"], set(state.get("deleted") or ())
        found: list[T] = []
        lost: list[int] = []
        for sequence in (s for gap in missing for s in gap):
            gone = sequence < first or sequence in deleted
            message = None if gone else await self._get(sequence)
            if message is None:
                lost.append(sequence)
            elif event := read_or_report(self._read, message, sequence, self._channel):
                found.append(event)
        report_lost(self._channel, lost, deleted)
        return found

    def _missing(self, pull: Pull) -> list[range]:
        """Return the gaps between the sequences of the received messages."""
        received = pull.messages
        if received[-1][0].sequence - self._next == len(received) - 1:
            return []
        gaps, expected = [], self._next
        for place, _ in received:
            if place.sequence > expected:
                gaps.append(range(expected, place.sequence))
            expected = place.sequence + 1
        return gaps

    async def _get(self, sequence: int) -> StoredMessage | None:
        return await api.get(self._connection, self._channel.stream, {"seq": sequence})
