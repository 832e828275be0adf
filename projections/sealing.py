"""Sealer: moves the old events of one log into segments, and then out of the stream.

Each step leaves a state that is right for every reader, so a crash between any two costs nothing
but work that is done again: store the segment, read it back, list it in the manifest, and only then
delete from the stream what is in it. Each row keeps its last event there, because writers read it
and the server compares its sequence (ADR-98).
"""

import asyncio
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from eventhub.errors import Conflict, Damaged, Misconfigured
from eventhub.segments import Manifest, Original, Sealing, Segment, nanoseconds_of
from eventhub.stream import EventStream
from projections.segment_file import read_row
from projections.stored.manifest import new_name

SEGMENT_BYTES: Final = 16 << 20
"""Payload bytes of a segment: a reader holds it in memory."""
SEGMENT_EVENTS: Final = 100_000
READ_BYTES: Final = 2 << 20
"""Asked for at once: they must come within the deadline of a request."""
SHARE: Final = 10
"""A smaller segment is made once its oldest event is older than it may be by a part of it."""
MOST_SEGMENTS: Final = 20_000
"""Of one log: the list of them is one message, of 4 MiB at most."""

logger = structlog.get_logger(__name__)


class Sealer:
    """Seals one log.

    Args:
        stream: the log as all readers see it.
        sealing: the same log, for what only this class does.
        keep: how long events stay in the stream.
        most_events: of a segment.
    """

    def __init__(
        self,
        stream: EventStream,
        sealing: Sealing,
        keep: timedelta,
        most_events: int = SEGMENT_EVENTS,
    ) -> None:
        self._stream = stream
        self._sealing = sealing
        self._keep = keep
        self._most_events = most_events
        self.manifest = Manifest()
        """As it was when it was last read or written."""
        self.waits_for = 0
        """The sequence up to which alerts have to be done before more is trimmed; 0 for none."""

    async def run_once(self) -> bool:
        """Trim what is sealed, then seal what is old enough, one segment; return whether any was.

        Raises:
            EventHubError: it cannot be done now, or not at all, as the message says.
        """
        self.manifest, revision = await self._sealing.manifest()
        revision = await self._trim(revision)
        return await self._seal(revision)

    # --- Sealing --------------------------------------------------------------------------------

    async def _seal(self, revision: int) -> bool:
        events = await self._due()
        if not events:
            return False
        if len(self.manifest.segments) >= MOST_SEGMENTS:
            raise Misconfigured(f"{self._name} has {MOST_SEGMENTS} segments, which is the most")
        data = await asyncio.to_thread(
            self._sealing.file_format.encode, events, self._sealing.channel
        )
        segment = Segment(
            name=f"{_key(self._sealing.channel.stream)}-{new_name()}.parquet",
            first=self.manifest.last + 1,
            last=events[-1].sequence,
            events=len(events),
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            newest=max(events[-1].nanoseconds, self.manifest.newest),
        )
        await self._sealing.store(segment.name, data)
        try:
            await self._prove(segment, events)
        except Damaged:
            await self._sealing.discard(segment.name)
            raise
        await self._commit(segment, revision)
        logger.info(
            "segment_sealed",
            channel=self._name,
            segment=segment.name,
            first=segment.first,
            last=segment.last,
            bytes=segment.bytes,
        )
        return True

    async def _prove(self, segment: Segment, events: list[Original]) -> None:
        """Check that a stored segment gives back the events that were stored in it."""
        if await self._sealing.stored(segment) != events:
            raise Damaged(f"segment {segment.name} holds other events than were stored in it")

    async def _commit(self, segment: Segment, revision: int) -> None:
        manifest = self.manifest.with_segment(segment)
        try:
            await self._sealing.commit(manifest, revision)
        except Conflict:
            # The answer to this very commit may have been lost.
            self.manifest, _ = await self._sealing.manifest()
            if segment not in self.manifest.segments:
                await self._sealing.discard(segment.name)
                raise
        else:
            self.manifest = manifest

    async def _due(self) -> list[Original]:
        """Return the events of the next segment; none if they are too few, or too new."""
        now = datetime.now(UTC)
        up_to = await self._stream.sequence_before(now - self._keep)
        reached = self.manifest.last
        if reached >= up_to:
            return []
        [oldest] = await self._sealing.originals(reached, reached + 1, READ_BYTES)
        if not self._is_full_or_late(oldest, up_to, now):
            return []
        events: list[Original] = []
        size = 0
        while reached < up_to and size < SEGMENT_BYTES and len(events) < self._most_events:
            most = min(up_to, reached + self._most_events - len(events))
            events += (found := await self._sealing.originals(reached, most, READ_BYTES))
            size += sum(len(event.payload) for event in found)
            reached = found[-1].sequence
        return events

    def _is_full_or_late(self, oldest: Original, up_to: int, now: datetime) -> bool:
        """Return whether a segment is due: some events only wait for more of them."""
        latest = nanoseconds_of(now - self._keep - self._keep / SHARE)
        return oldest.nanoseconds <= latest or up_to - self.manifest.last >= self._most_events

    # --- Trimming -------------------------------------------------------------------------------

    async def _trim(self, revision: int) -> int:
        """Delete from the stream what is sealed; return the revision of the manifest then."""
        for segment in self.manifest.segments:
            if segment.last <= self.manifest.trimmed:
                continue
            if await self._sealing.acknowledged() < segment.last:
                self.waits_for = segment.last
                return revision
            self.waits_for = 0
            events = await self._sealing.stored(segment)
            rows = await asyncio.to_thread(changed_rows, events)
            await self._sealing.trim(rows)
            trimmed = self.manifest.trimmed_to(segment.last)
            revision = await self._sealing.commit(trimmed, revision)
            self.manifest = trimmed
            logger.info("stream_trimmed", channel=self._name, last=segment.last, rows=len(rows))
        return revision

    @property
    def _name(self) -> str:
        return self._sealing.channel.name


def changed_rows(events: Iterable[Original]) -> dict[str, int]:
    """Return the rows with events before their last one, by id with the sequence of that.

    A row whose only event here creates it has none, unless it was deleted before: then the DELETE
    stays in the stream too, until the row changes.
    """
    last: dict[str, int] = {}
    changed: set[str] = set()
    for event in events:
        row = read_row(event)
        if row.id in last or row.method != "POST":
            changed.add(row.id)
        last[row.id] = event.sequence
    return {row_id: last[row_id] for row_id in last if row_id in changed}


def _key(stream: str) -> str:
    """Return what the names of a stream's segments begin with: letters and digits only."""
    return hashlib.blake2b(stream.encode(), digest_size=6).hexdigest()
