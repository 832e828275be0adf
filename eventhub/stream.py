"""EventStream: the log of one channel. Append with an expectation, follow without gaps, read back.

Two implementations pass one contract suite: `jetstream/` (durable) and `memory.py` (for tests).
Sequences start at 1 and only grow; 0 stands before the first event. A sequence may be missing
where an event was erased on purpose.
"""

from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import NamedTuple, Protocol

from eventhub.channel import Channel
from eventhub.errors import EventHubError
from eventhub.event import Event, SealedEvent, StoredEvent

MAX_PAYLOAD = 8 << 20
"""Bytes of one event: room for the old and the new row of the largest message."""


class WrongSequence(EventHubError):  # noqa: N818 - it is what JetStream calls it
    """The row's last event is not the one the writer expected: read it again."""

    code = "conflict"


class Appended(NamedTuple):
    """What the log answered to an append."""

    sequence: int
    duplicate: bool
    """The same write was stored before; `sequence` is where, and nothing was appended now."""


OnAppended = Callable[[Appended | EventHubError], None]
"""Told of an outcome, once, by the event loop; must not raise or wait."""


class Bounds(NamedTuple):
    """What a stream holds: sequences `first` to `last`; an empty one has `last == first - 1`.

    `last` is the last that `follow` delivers: erased and damaged ones behind it do not count.
    """

    first: int
    last: int


class Delivery(Protocol):
    """One event handed to a worker, to be answered with exactly one of the three."""

    stored: StoredEvent
    attempt: int
    """1 for the first delivery."""

    async def ack(self) -> None:
        """Done, and the effect is durable: never deliver it again."""

    async def retry(self, delay_seconds: float) -> None:
        """Deliver it again, not before the delay."""

    async def extend(self) -> None:
        """Work goes on: do not deliver it to another worker yet."""


class EventStream(Protocol):
    """The log of one channel."""

    channel: Channel

    @property
    def epoch(self) -> str:
        """Letters and digits; another one when the stream was deleted and made again."""

    @property
    def newest(self) -> int:
        """Highest sequence that this process appended or read singly: followers have it soon."""

    async def append(self, event: Event, *, expect: int) -> Appended:
        """Append an event durably; return once it is.

        Args:
            event: its `write` makes a retry of the same write answer `duplicate`.
            expect: sequence of the last event of `event.id`; 0 if the id must be new.

        Raises:
            WrongSequence: the row has another last event; nothing was appended.
            Rejected: `too_large`; nothing was appended.
            Unavailable: `unavailable`: nothing was appended; `unknown_outcome`: nobody knows.
        """

    def submit(
        self, event: Event, *, expect: int, sender: Hashable, on_appended: OnAppended
    ) -> bool:
        """Begin to append an event, without waiting.

        Args:
            event: as for `append`.
            expect: as for `append`.
            sender: events of one sender are stored in the order they were submitted.
            on_appended: called with what `append` returns, or raises once it has begun.

        Returns:
            False if there is no room now: nothing was begun, and `append` would wait for some.

        Raises:
            Rejected: `too_large`; nothing was begun.
        """

    def follow(self, after: int) -> AbstractAsyncContextManager[AsyncIterator[list[StoredEvent]]]:
        """Iterate over all events after a sequence, in order, each once, in non-empty batches.

        It never ends by itself: it waits for new events, and over outages of the broker. A
        damaged event is reported in the log and in a metric, and left out. Batches are pulled,
        so a slow reader holds at most one in memory; a cancelled pull loses nothing.
        """

    def follow_sealed(
        self, after: int
    ) -> AbstractAsyncContextManager[AsyncIterator[list[SealedEvent]]]:
        """Iterate as `follow` does, without decoding what is of today's columns.

        For who reads everything: it costs a third. That a payload is an event, and not only what
        was sealed as one, is seen by who decodes it.
        """

    async def last(self, row_id: str) -> StoredEvent | None:
        """Return the last event of a row, its DELETE too; None if there never was one.

        Raises:
            Unavailable: the log cannot be read now.
            Damaged: the stored bytes are not what was written.
        """

    async def get(self, sequence: int) -> StoredEvent | None:
        """Return the event at a sequence, or None; errors as `last`."""

    async def read(self, after: int, max_bytes: int) -> list[StoredEvent]:
        """Return the events that come next after a sequence, at once: what fits in `max_bytes`.

        At least one, unless there is none now, or the next is missing or damaged: then `follow`
        passes it, and reports it. For who is behind: this costs the broker less. Errors as `last`.
        """

    async def bounds(self) -> Bounds:
        """Return what the stream holds now; errors as `last`."""

    async def end(self) -> int:
        """Return the last sequence that was ever given out; errors as `last`.

        It is above `bounds().last` if the newest events are erased or cannot be read.
        """

    async def sequence_before(self, moment: datetime) -> int:
        """Return the last sequence stored before an aware instant, 0 if there is none."""

    async def enlist(self, worker: str) -> None:
        """Make the durable work queue of a worker, if it is new: it starts with the next event."""

    def work(self, worker: str) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """Iterate over the deliveries of a work queue, at least once each, over outages too.

        All processes that work under one name share one queue. What is not answered in
        `ACK_WAIT_SECONDS` is delivered again.
        """


ACK_WAIT_SECONDS = 15.0
"""How late a kill makes what was under way. Who works longer on a delivery extends it."""


class Records(Protocol):
    """Small durable values by key, beside the streams: what an alert worker has done.

    A key is dot-separated tokens of letters, digits, `-`, `_` and `=`.
    """

    async def put(self, key: str, value: bytes) -> None:
        """Store a value durably; replaces an older one."""

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None."""

    async def delete(self, key: str) -> None:
        """Forget a key; no error if there is none."""

    async def items(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return the keys below a prefix (whole tokens) with their values, oldest first."""


class Log(Protocol):
    """A broker: the streams of all channels."""

    @property
    def is_connected(self) -> bool:
        """Tell whether the broker answers."""

    async def open(self, channel: Channel) -> EventStream:
        """Return the stream of a channel; makes it if it is new."""

    async def records(self, name: str, *, max_age_seconds: float | None = None) -> Records:
        """Return a store of records; makes it if it is new. Older values than `max_age` vanish."""
