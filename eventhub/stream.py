"""EventStream: the log of one channel. Append with an expectation, follow without gaps, read back.

Two implementations pass the contract tests: `jetstream/` (durable) and `memory.py` (for tests).
Sequences start at 1 and only grow; 0 is the position before the first event. A sequence is missing
where an event was erased on purpose.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from eventhub.background import side_by_side
from eventhub.channel import Channel
from eventhub.columns import Columns
from eventhub.errors import EventHubError
from eventhub.event import Event, SealedEvent, StoredEvent
from eventhub.signals import Signals

MAX_PAYLOAD = 8 << 20
"""Bytes of one event: room for the old and the new row of the largest message."""
STREAMS_AT_ONCE = 32
"""With how many streams the start is busy at once: it waits for disks and other servers."""


class WrongSequence(EventHubError):  # noqa: N818 - the word of JetStream
    """The row's last event is not the one that the writer expected: read it again."""

    code = "conflict"


@dataclass(slots=True)
class Appended:
    """The log's answer to an append; immutable."""

    sequence: int
    duplicate: bool
    """The same write was stored before, at `sequence`; nothing was appended now."""
    size: int = field(default=0, compare=False)
    """Bytes of the event."""


OnAppended = Callable[[Appended | EventHubError], None]
"""Called once with an outcome, by the event loop; must not raise or wait."""


class Bounds(NamedTuple):
    """The sequences that a stream holds; an empty stream has `last == first - 1`.

    `last` is the last one that `follow` delivers: erased and damaged events after it do not count.
    """

    first: int
    last: int


class Delivery(Protocol):
    """One event for a worker, who answers with either `ack` or `retry`."""

    stored: StoredEvent
    attempt: int
    """1 for the first delivery."""

    async def ack(self) -> None:
        """The work is done, and its effect is durable: never deliver the event again."""

    async def retry(self, delay_seconds: float) -> None:
        """Deliver the event again, not before the delay."""

    async def extend(self) -> None:
        """The work goes on: do not deliver the event to another worker yet."""


class EventStream(Protocol):
    """The log of one channel."""

    channel: Channel

    @property
    def epoch(self) -> str:
        """Letters and digits; changes when the stream is deleted and made again."""

    @property
    def newest(self) -> int:
        """Highest sequence that this process appended or read singly; followers get it soon."""

    @property
    def known_last(self) -> int:
        """Last sequence that the log is known to have; it may have more by now."""

    @property
    def trouble(self) -> str:
        """Why the stream cannot be read or written now; empty if nothing is known against it."""

    @property
    def newer_columns(self) -> Columns | None:
        """The columns of a newer configuration, if another process has one."""

    async def append(self, event: Event, *, expect: int) -> Appended:
        """Append an event; return once it is durable.

        Args:
            event: a second append with the same `write` returns the first as `duplicate`.
            expect: sequence of the last event of `event.id`; 0 if the id must be new.

        Raises:
            WrongSequence: the row has another last event; nothing was appended.
            Rejected: `too_large`; nothing was appended.
            Unavailable: `unavailable`: nothing was appended; `unknown_outcome`: it may be.
        """

    def submit(
        self, event: Event, *, expect: int, sender: Hashable, on_appended: OnAppended
    ) -> bool:
        """Start to append an event, without waiting.

        Args:
            event: as for `append`.
            expect: as for `append`.
            sender: events of one sender are stored in the order in which they were submitted.
            on_appended: called with what `append` would return or raise, if the result is True.

        Returns:
            False if there is no room now: nothing was started, and `append` would wait for room.

        Raises:
            Rejected: `too_large`; nothing was started.
        """

    def follow(self, after: int) -> AbstractAsyncContextManager[AsyncIterator[list[StoredEvent]]]:
        """Iterate over all events after a sequence, in order, each once, in non-empty batches.

        It never ends by itself: it waits for new events, and through outages of the broker. A
        damaged event is left out, and reported in a log line and a metric. Batches are pulled, so a
        slow reader holds at most one in memory; a cancelled pull loses nothing.
        """

    def follow_sealed(
        self, after: int
    ) -> AbstractAsyncContextManager[AsyncIterator[list[SealedEvent]]]:
        """Iterate as `follow` does, without decoding events of today's columns.

        It costs a third, and is for readers of the whole log. Only the checksum of a payload is
        verified; whether it is an event shows when it is decoded.
        """

    async def last(self, row_id: str) -> StoredEvent | None:
        """Return the last event of a row, even if it is a DELETE; None if there never was one.

        Raises:
            Unavailable: the log cannot be read now.
            Damaged: the stored bytes are not what was written.
        """

    async def get(self, sequence: int) -> StoredEvent | None:
        """Return the event at a sequence, or None; errors as `last`."""

    async def read(self, after: int, max_bytes: int) -> list[StoredEvent]:
        """Return the next events after a sequence that fit in `max_bytes`, without waiting.

        There is at least one, unless there is none now, or the next one is missing or damaged; then
        `follow` skips it and reports it. It is for readers that are behind, and costs the broker
        less than `follow`. Errors as `last`.
        """

    async def bounds(self) -> Bounds:
        """Return what the stream holds now; errors as `last`."""

    async def end(self) -> int:
        """Return the last sequence that was ever assigned; errors as `last`.

        It is above `bounds().last` if the newest events were erased or cannot be read.
        """

    async def sequence_before(self, moment: datetime) -> int:
        """Return the last sequence stored before an aware instant, 0 if there is none."""

    async def enlist(self, worker: str) -> None:
        """Make the durable work queue of a worker, if it is new; it starts with the next event."""

    def work(self, worker: str) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """Iterate over the deliveries of a work queue: each event at least once, through outages.

        All processes that work under one name share one queue. A delivery that is not answered
        within `ACK_WAIT_SECONDS` is repeated.
        """


WORK_QUEUE = "alerts"
"""Name of the work queue of each channel with alerts, which all alert workers share."""
ACK_WAIT_SECONDS = 15.0
"""How much later an event is done if its worker is killed. Longer work extends the delivery."""


class Record(NamedTuple):
    """A value that was put under a key."""

    key: str
    value: bytes
    sequence: int
    """Grows with each put to the store."""


class Watched(NamedTuple):
    """What was put to a store, oldest first."""

    records: list[Record]
    is_whole: bool
    """These are all records that there are; otherwise they are what was put since."""


class Records(Protocol):
    """Small durable values by key, next to the streams: what an alert worker has done.

    A key is dot-separated tokens of letters, digits, `-`, `_` and `=`.
    """

    async def put(self, key: str, value: bytes, *, seconds: float | None = None) -> int:
        """Store a value durably; replaces an older one. Return its sequence.

        Args:
            key: names it.
            value: what is stored.
            seconds: after which it may vanish, rounded up.
        """

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None."""

    async def delete(self, key: str) -> None:
        """Forget a key; a key that does not exist is no error."""

    async def items(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return the keys below a prefix (whole tokens) with their values, oldest first."""

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[Watched]]:
        """Iterate over all records, and what is put from then on, through outages of the broker.

        The first item is whole, and so is every item after which something may have been missed. A
        record that is deleted, or vanishes, is not reported.
        """


class Log(Protocol):
    """A broker: the streams of all channels."""

    @property
    def signals(self) -> Signals:
        """What the processes that are connected say to each other."""

    @property
    def is_connected(self) -> bool:
        """Tell whether the broker answers."""

    async def open(self, channel: Channel) -> EventStream:
        """Return the stream of a channel; make it if it is new."""

    async def records(self, name: str, *, max_age_seconds: float | None = None) -> Records:
        """Return a store of records; make it if it is new. Values older than `max_age` vanish."""


async def open_all(
    channels: Sequence[Channel], open_one: Callable[[Channel], Awaitable[EventStream]]
) -> dict[str, EventStream]:
    """Open the streams of channels side by side, and return them by name, in the same order.

    The first that cannot be opened ends the others; its error names it.
    """
    streams = await side_by_side(open_one, channels, STREAMS_AT_ONCE)
    return {stream.channel.name: stream for stream in streams}
