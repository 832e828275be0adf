"""Retained: the sealed beginning of one log, and a follower that reads it before the stream.

Which events a stream has lost to sealing is known by the manifest, which is written before they are
deleted. So whoever misses events in the stream reads the manifest again (`refresh`), and those that
it covers are in a segment.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import datetime
from typing import Final, Generic, Self

import structlog

from eventhub.channel import Channel
from eventhub.errors import Damaged, Unavailable
from eventhub.jetstream.damage import Read, T
from eventhub.jetstream.follower import Follower, Trimmed
from eventhub.jetstream.requests import NotPermitted
from eventhub.jetstream.sealing import Manifests, SegmentFiles
from eventhub.logs import limited
from eventhub.metrics import DAMAGED
from eventhub.segments import Manifest, Original, nanoseconds_of

BATCH_EVENTS: Final = 1000
RETRY_SECONDS: Final = 1.0
"""Between two attempts to read a segment while the broker does not answer."""

logger = structlog.get_logger(__name__)


class Retained:
    """What is sealed of one log.

    Args:
        channel: whose log it is.
        manifests: where its segments are listed.
        files: the segments; None if this process cannot read them.
    """

    def __init__(self, channel: Channel, manifests: Manifests, files: SegmentFiles | None) -> None:
        self.channel = channel
        self.manifests = manifests
        self._files = files
        self.manifest = Manifest()
        """As it was when it was last read."""

    @property
    def last(self) -> int:
        """The last sequence that is known to be sealed."""
        return self.manifest.last

    async def refresh(self) -> int:
        """Read the manifest again, and return the last sealed sequence.

        Raises:
            Unavailable: it cannot be read now.
            Damaged: it cannot be understood.
        """
        try:
            self.manifest, _ = await self.manifests.read()
        except NotPermitted as error:  # of users that were made before there were segments
            limited.warning("segments_not_permitted", by=self.channel.name, reason=error.message)
        return self.last

    async def after(self, sequence: int) -> list[Original]:
        """Return sealed events after a sequence below `last`: at least one, of one segment.

        Raises:
            Damaged: the segment is missing or damaged.
            Unavailable: it cannot be read now.
        """
        events = await self._read(sequence + 1)
        return events[bisect_right(events, sequence, key=lambda each: each.sequence) :]

    async def get(self, sequence: int) -> Original | None:
        """Return the sealed event at a sequence of at most `last`, or None; errors as `after`."""
        events = await self._read(sequence)
        at = bisect_left(events, sequence, key=lambda each: each.sequence)
        return events[at] if events[at].sequence == sequence else None

    def covers(self, moment: datetime) -> bool:
        """Tell whether a sealed event was stored at an aware instant, or later."""
        return bool(self.last) and nanoseconds_of(moment) <= self.manifest.newest

    async def before(self, moment: datetime) -> int:
        """Return the last sequence stored before an instant that is covered; errors as `after`."""
        wanted = nanoseconds_of(moment)
        segment = self.manifest.newer_than(wanted)
        events = await self._read(segment.last)
        at = bisect_left(events, wanted, key=lambda each: each.nanoseconds)
        return (
            events[min(at, len(events) - 1)].sequence - 1
        )  # the server's clock may have gone back

    async def _read(self, sequence: int) -> list[Original]:
        segment = self.manifest.holding(sequence)
        if self._files is None:
            raise Unavailable("this process cannot read the sealed part of the log")
        try:
            return await self._files.read(segment)
        except Damaged as error:
            DAMAGED.labels(self.channel.name).inc()
            logger.error(  # noqa: TRY400 - the traceback would be ours
                "segment_damaged",
                channel=self.channel.name,
                segment=segment.name,
                first=segment.first,
                last=segment.last,
                reason=error.message,
            )
            raise


class RetainedFollower(Generic[T]):
    """An asynchronous iterator of non-empty batches: segments first, then the stream.

    A cancelled `anext` loses nothing.

    Args:
        read: makes an event of each payload.
        retained: the sealed part.
        start: makes a follower of the stream after a sequence.
        after: sequence before the first event.
    """

    def __init__(
        self,
        read: Read[T],
        retained: Retained,
        start: Callable[[int], Follower[T]],
        after: int,
    ) -> None:
        self._read = read
        self._retained = retained
        self._start = start
        self._reached = after
        self._follower: Follower[T] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[T]:
        while True:
            batch = await self._sealed() if self._is_sealed else await self._live()
            if batch:
                self._reached = batch[-1].sequence
                return batch

    @property
    def _is_sealed(self) -> bool:
        return self._follower is None and self._reached < self._retained.last

    async def close(self) -> None:
        """Stop following."""
        follower, self._follower = self._follower, None
        if follower is not None:
            await follower.close()

    async def _live(self) -> list[T]:
        """Return the next events of the stream; none if they have left it."""
        if self._follower is None:
            self._follower = self._start(self._reached)
        try:
            return await anext(self._follower)
        except Trimmed:
            await self.close()
            return []

    async def _sealed(self) -> list[T]:
        """Return the next sealed events; none if the broker does not answer."""
        try:
            events = await self._retained.after(self._reached)
        except Unavailable as error:
            limited.warning("broker_awaited", by="a reader of segments", reason=error.message)
            await asyncio.sleep(RETRY_SECONDS)
            return []
        columns = self._retained.channel.columns
        return [self._read(e.sequence, e.payload, columns) for e in events[:BATCH_EVENTS]]
