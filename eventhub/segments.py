"""Segments: the sealed beginning of a log, in files that never change, and the list of them.

A segment holds the payloads of all events from one sequence to another, byte for byte. Only what is
in the manifest counts, and only what the manifest lists may leave the stream (ADR-98). So a reader
that finds a gap in the stream reads the manifest again, and finds the events in a segment.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

import msgspec

from eventhub.channel import Channel
from eventhub.errors import Damaged

FORMAT: Final = 1
NANOSECONDS: Final = 10**9


class Original(NamedTuple):
    """An event as the stream stores it, whatever today's columns are."""

    sequence: int
    nanoseconds: int
    """When the stream stored it, since 1970."""
    payload: bytes


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One file of sealed events."""

    name: str
    first: int
    """The first sequence that it stands for; the one after the last of the segment before."""
    last: int
    """The sequence of its last event."""
    events: int
    bytes: int
    """Of the file."""
    sha256: str
    """Of the file."""
    newest: int
    """When its last event was stored, in nanoseconds since 1970."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The segments of one log, in order and without gaps."""

    format: int = FORMAT
    epoch: str = ""
    """Of the log whose events they are."""
    segments: tuple[Segment, ...] = ()
    trimmed: int = 0
    """Up to this sequence, the stream holds nothing but the last event of each row."""

    @property
    def first(self) -> int:
        """The first sequence that the segments stand for."""
        return self.segments[0].first if self.segments else 1

    @property
    def last(self) -> int:
        """The last sealed sequence; 0 if there is none."""
        return self.segments[-1].last if self.segments else 0

    @property
    def newest(self) -> int:
        """When the last sealed event was stored, in nanoseconds since 1970; 0 if there is none."""
        return self.segments[-1].newest if self.segments else 0

    def holding(self, sequence: int) -> Segment:
        """Return the segment that stands for a sequence of at most `last`."""
        return self.segments[bisect_left(self.segments, sequence, key=lambda each: each.last)]

    def newer_than(self, nanoseconds: int) -> Segment:
        """Return the first segment that ends at an instant of at most `newest`, or later."""
        return self.segments[bisect_left(self.segments, nanoseconds, key=lambda each: each.newest)]

    def with_segment(self, segment: Segment) -> "Manifest":
        """Return the manifest with one more segment at its end."""
        assert segment.first == self.last + 1, segment  # noqa: S101 - a bug of the sealer
        return msgspec.structs.replace(self, segments=(*self.segments, segment))

    def trimmed_to(self, sequence: int) -> "Manifest":
        """Return the manifest after the stream was trimmed up to a sequence."""
        return msgspec.structs.replace(self, trimmed=sequence)


def read_manifest(data: bytes, stream: str) -> Manifest:
    """Return a stored manifest.

    Raises:
        Damaged: it is not one, or one of a later version.
    """
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"the list of segments of {stream} cannot be read: {error}") from None
    if manifest.format != FORMAT:
        raise Damaged(f"the segments of {stream} were written by a later version")
    return manifest


def nanoseconds_of(moment: datetime) -> int:
    """Return an aware instant as nanoseconds since 1970."""
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * NANOSECONDS + since.microseconds * 1000


class SegmentFormat(Protocol):
    """The format of the files."""

    def encode(self, events: Sequence[Original], channel: Channel) -> bytes:
        """Return a file with events."""

    def decode(self, data: bytes) -> list[Original]:
        """Return the events of a file.

        Raises:
            Damaged: it is not such a file.
        """


class Sealing(Protocol):
    """What sealing needs of one log."""

    channel: Channel
    file_format: SegmentFormat

    async def manifest(self) -> tuple[Manifest, int]:
        """Return the manifest as it is stored now, and its revision; empty if there is none.

        Raises:
            Unavailable: it cannot be read now.
            Damaged: it cannot be understood.
        """

    async def commit(self, manifest: Manifest, revision: int) -> int:
        """Replace the manifest of a revision durably, and return the new revision.

        Raises:
            Conflict: another process has replaced it.
            Unavailable: it may be stored, or not.
        """

    async def originals(self, after: int, up_to: int, max_bytes: int) -> list[Original]:
        """Return the next events of the stream after a sequence, up to another.

        Raises:
            Damaged: one of them is damaged, or several in a row are missing.
            Unavailable: the stream cannot be read now.
        """

    async def store(self, name: str, data: bytes) -> None:
        """Store a file durably; errors as `Objects.put`."""

    async def stored(self, segment: Segment) -> list[Original]:
        """Return the events of a stored segment, read and checked again.

        Raises:
            Damaged: it is missing, or is not what was stored.
            Unavailable: it cannot be read now.
        """

    async def discard(self, name: str) -> None:
        """Delete a file that no manifest lists."""

    async def acknowledged(self) -> int:
        """Return the sequence up to which no work queue needs the stream any more."""

    async def trim(self, last: Mapping[str, int]) -> None:
        """Delete the events of rows before their last one.

        Args:
            last: by id of the row, the sequence of an event; the events before it are deleted.
        """
