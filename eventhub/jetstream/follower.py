"""Follower: all events of a stream after a sequence, in order, each once, over any outage.

Its consumer is ephemeral, unacknowledged, in memory and without a filter: cheap to make, so on
any doubt it is thrown away and another one begins at the next sequence. The only state is that
sequence. 24 faults over 65,834 events lost and repeated none.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from secrets import token_hex
from typing import Any, Generic, Self, TypeVar

import structlog

from eventhub.channel import Channel
from eventhub.columns import Columns
from eventhub.errors import Damaged, EventHubError, Unavailable
from eventhub.event import Sealed
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.parser import Message
from eventhub.jetstream.pull import NANOSECONDS, Pull, Puller
from eventhub.metrics import DAMAGED, FOLLOWER_RESETS

BATCH = 1000  # messages under way or waiting
INACTIVE_SECONDS = 30  # after which the server deletes a consumer that nobody pulls from

logger = structlog.get_logger(__name__)


T = TypeVar("T", bound=Sealed)
Read = Callable[[int, bytes, Columns], T]
"""Makes it of a sequence and a payload; raises Damaged."""


class Marks:
    """What this process knows of a stream, shared by all who follow it.

    Args:
        acknowledged: returns the highest sequence that the server said to be stored.
    """

    def __init__(self, acknowledged: Callable[[], int]) -> None:
        self._acknowledged = acknowledged
        self.received = 0
        """Highest sequence that came by: if it is gone later, it was erased."""

    def owed(self) -> int:
        """Return the highest sequence that was acknowledged, if nobody has received it; or 0."""
        newest = self._acknowledged()
        return newest if newest > self.received else 0


class Follower(Generic[T]):
    """An asynchronous iterator of non-empty batches. A cancelled `anext` loses nothing.

    Args:
        read: what is made of each event.
        connection: to the server.
        channel: whose stream it is.
        epoch: of the stream, which is followed no further than that lasts.
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
        self._puller = Puller(connection, self._begin, self._on_reset)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[T]:
        while True:
            pull = await self._puller.ready()
            try:
                left_out = await self._left_out(pull)
            except Unavailable as error:
                pull.suspect(error.message)
                continue
            if events := self._take(pull, left_out):
                return events

    async def close(self) -> None:
        """Stop following."""
        await self._puller.close()

    async def _begin(self) -> Pull:
        name = f"follower-{token_hex(8)}"
        config = {
            "name": name,
            "ack_policy": "none",
            "max_deliver": 1,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._next,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": INACTIVE_SECONDS * NANOSECONDS,
        }
        stream = self._channel.stream
        body = {"stream_name": stream, "config": config, "action": "create"}
        await self._connection.api(f"CONSUMER.CREATE.{stream}.{name}", body)
        # After the consumer was made: then it is a consumer of this very epoch.
        state = await state_in_epoch(self._connection, stream, self._epoch)
        if state["last_seq"] < self._next - 1:
            raise EventHubError(
                f"stream {stream} ends at {state['last_seq']}, but {self._next - 1} was read"
                " already: it was cut off or restored from an older copy"
            )
        await self._tell_new_holes(state)
        await self._look_for_acknowledged()
        consumer = f"{stream}.{name}"
        pull = Pull(self._connection, consumer, count=BATCH, overdue=self._is_overdue)
        return await pull.open()

    def _is_overdue(self) -> bool:
        """Tell whether there is more than the server says."""
        return self._marks.owed() > max(self._next - 1, self._missed)

    async def _look_for_acknowledged(self) -> None:
        """Have the server start anew if it does not find what it has stored.

        A flipped bit in a sequence has nats-server 2.15.1 note down that sequences were deleted,
        of which some are still to come: it stores and acknowledges those, and hides them.
        """
        newest = self._marks.owed()
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
        raise Unavailable("the event log starts anew")

    async def _tell_new_holes(self, state: dict[str, Any]) -> None:
        """Raise the alarm if a server that was away has come back with less than we have read."""
        holes = state["first_seq"] + state.get("num_deleted", 0)
        if self._holes is not None and holes > self._holes:
            await report_holes(self._connection, self._channel, self._epoch, state)
        self._holes = holes

    def _on_reset(self, reason: str) -> None:
        FOLLOWER_RESETS.labels(self._channel.name).inc()
        logger.info("follower_reset", channel=self._channel.name, at=self._next, reason=reason)

    def _take(self, pull: Pull, left_out: list[T]) -> list[T]:
        """Return the events of what was received, and move on behind it."""
        events = left_out
        for place, message in pull.messages:
            event = read_or_report(self._read, message, place.sequence, self._channel)
            if event is not None:
                events.append(event)
        if left_out:
            events.sort(key=lambda event: event.sequence)
        self._next = pull.messages[-1][0].sequence + 1
        self._marks.received = max(self._marks.received, self._next - 1)
        pull.messages.clear()
        return events

    async def _left_out(self, pull: Pull) -> list[T]:
        """Return the events that the consumer left out although they exist: normally none.

        What cannot be read is lost, and reported: a flipped bit makes the server leave out
        messages without a word.
        """
        missing = self._missing(pull)
        if not missing:
            return []
        state = await state_with_deleted(self._connection, self._channel.stream, self._epoch)
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
        """Return the gaps in the sequences of what was received."""
        received = pull.messages
        if received[-1][0].sequence - self._next == len(received) - 1:
            return []
        gaps, expected = [], self._next
        for place, _ in received:
            if place.sequence > expected:
                gaps.append(range(expected, place.sequence))
            expected = place.sequence + 1
        return gaps

    async def _get(self, sequence: int) -> Message | None:
        return await self._connection.direct_get(self._channel.stream, {"seq": sequence})


def read_or_report(read: Read[T], message: Message, sequence: int, channel: Channel) -> T | None:
    """Return what is made of a message; None, and an alarm, if it is damaged."""
    try:
        return read(sequence, message.data, channel.columns)
    except Damaged as error:
        DAMAGED.labels(channel.name).inc()
        logger.error(  # noqa: TRY400 - the traceback would be ours
            "event_damaged", channel=channel.name, sequence=sequence, reason=error.message
        )
        return None


async def report_holes(
    connection: Connection, channel: Channel, epoch: str, state: dict[str, Any]
) -> None:
    """Raise the alarm for what a stream does not hold any more; readers may begin behind it.

    Args:
        state: of the stream, without details.
    """
    if not state.get("num_deleted") and state["first_seq"] <= 1:
        return
    state = await state_with_deleted(connection, channel.stream, epoch)
    deleted = [sequence for sequence in state.get("deleted") or () if sequence > 0]
    report_lost(channel, [*range(1, state["first_seq"]), *deleted], set(deleted))


def report_lost(channel: Channel, sequences: Iterable[int], deleted: Collection[int]) -> None:
    """Raise the alarm for ascending sequences that cannot be read.

    That the server lists one as deleted explains nothing: it lists so what it has not found again
    behind a flipped bit, 12,307 of 40,000 messages. Only a single one may have been erased.
    """
    for run in _runs(sequences):
        DAMAGED.labels(channel.name).inc(len(run))
        if len(run) == 1 and run[0] in deleted:
            logger.warning("event_erased", channel=channel.name, first=run[0], last=run[0])
        else:
            logger.error("stream_gap", channel=channel.name, first=run[0], last=run[-1])


def _runs(sequences: Iterable[int]) -> Iterator[range]:
    """Join ascending sequences that follow each other."""
    run = range(0)
    for sequence in sequences:
        if run and sequence == run.stop:
            run = range(run.start, sequence + 1)
            continue
        if run:
            yield run
        run = range(sequence, sequence + 1)
    if run:
        yield run


async def state_with_deleted(connection: Connection, stream: str, epoch: str) -> dict[str, Any]:
    """Return the state of a stream with the sequences that were deleted; errors as below.

    A flipped bit may have the server believe in many millions of them, and busy with telling.
    """
    try:
        return await _state(connection, stream, epoch, deleted=True)
    except Unavailable:
        logger.error("stream_state_lost", stream=stream)  # noqa: TRY400 - expected
        if connection.renew is None:
            raise
        await connection.renew(stream)
    return await _state(connection, stream, epoch, deleted=True)


async def state_in_epoch(connection: Connection, stream: str, epoch: str) -> dict[str, Any]:
    """Return the state of a stream.

    Raises:
        EventHubError: the stream was deleted, and perhaps made again: no position in it holds.
    """
    return await _state(connection, stream, epoch, deleted=False)


async def _state(
    connection: Connection, stream: str, epoch: str, *, deleted: bool
) -> dict[str, Any]:
    info = await connection.api(f"STREAM.INFO.{stream}", {"deleted_details": deleted})
    if epoch_of(info["created"]) != epoch:
        logger.error("stream_replaced", stream=stream)
        raise EventHubError(f"stream {stream} was deleted and made again: restart the hub")
    state: dict[str, Any] = info["state"]
    return state


def epoch_of(created: str) -> str:
    """Return the epoch of a stream: when it was made, RFC 3339, its digits in base 36."""
    number, digits = int("".join(filter(str.isdigit, created))), ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits
