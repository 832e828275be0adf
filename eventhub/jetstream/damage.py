"""Damage: alarms for events that cannot be read any more, in the program's log and in a metric."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeVar

import structlog

from eventhub.channel import Channel
from eventhub.columns import Columns
from eventhub.errors import Damaged
from eventhub.event import Sealed
from eventhub.jetstream.api import StoredMessage
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.ephemeral import Ephemeral
from eventhub.jetstream.parser import Message
from eventhub.jetstream.requests import NotPermitted
from eventhub.jetstream.stream_state import state_with_deleted
from eventhub.metrics import DAMAGED

logger = structlog.get_logger(__name__)

T = TypeVar("T", bound=Sealed)
Read = Callable[[int, bytes, Columns], T]
"""Makes an event of a sequence and a payload; raises Damaged."""


def read_or_report(
    read: Read[T], message: Message | StoredMessage, sequence: int, channel: Channel
) -> T | None:
    """Return the event in a message; None, and an alarm, if it is damaged."""
    try:
        return read(sequence, message.data, channel.columns)
    except Damaged as error:
        DAMAGED.labels(channel.name).inc()
        logger.error(  # noqa: TRY400 - the traceback would be ours
            "event_damaged", channel=channel.name, sequence=sequence, reason=error.message
        )
        return None


async def report_holes(
    connection: Connection, channel: Channel, epoch: str, state: dict[str, Any], sealed: int = 0
) -> None:
    """Raise the alarm for what a stream does not hold any more; readers may start after it.

    Args:
        connection: to the servers.
        channel: whose stream it is.
        epoch: of the stream.
        state: of the stream, without details.
        sealed: up to this sequence, events may have left the stream on purpose.
    """
    if not state.get("num_deleted") and state["first_seq"] <= sealed + 1:
        return
    if sealed and await _is_whole_after(connection, channel, state, sealed):
        return  # what was trimmed may be millions of sequences, which nobody has to list
    state = await state_with_deleted(connection, channel.stream, epoch)
    deleted = [sequence for sequence in state.get("deleted") or () if sequence > sealed]
    report_lost(channel, [*range(sealed + 1, state["first_seq"]), *deleted], set(deleted))


async def _is_whole_after(
    connection: Connection, channel: Channel, state: dict[str, Any], sealed: int
) -> bool:
    """Return whether a stream holds every sequence after one: a consumer counts them."""
    consumers = Ephemeral(connection, channel.stream, "holes")
    start = {"deliver_policy": "by_start_sequence", "opt_start_seq": sealed + 1}
    try:
        consumer = await consumers.make(**start)
    except NotPermitted:
        return True  # an alert worker: the other processes look
    await connection.publish(f"{connection.api}.CONSUMER.DELETE.{consumer.path}", b"")
    return consumer.pending >= int(state["last_seq"]) - sealed


def report_lost(channel: Channel, sequences: Iterable[int], deleted: Collection[int]) -> None:
    """Raise the alarm for sequences that cannot be read.

    That the server lists a sequence as deleted explains nothing: it also lists what it did not find
    behind a flipped bit, 12,307 of 40,000 messages. Only a single one may have been erased.

    Args:
        channel: whose stream it is.
        sequences: ascending.
        deleted: those that the server lists as deleted.
    """
    for run in runs(sequences):
        DAMAGED.labels(channel.name).inc(len(run))
        if len(run) == 1 and run[0] in deleted:
            logger.warning("event_erased", channel=channel.name, first=run[0], last=run[0])
        else:
            logger.error("stream_gap", channel=channel.name, first=run[0], last=run[-1])


def runs(sequences: Iterable[int]) -> Iterator[range]:
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
