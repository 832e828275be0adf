"""Fitting: whether tables of a stored snapshot belong to a log as it is now."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from eventhub.channel import Channel
from eventhub.errors import Damaged
from eventhub.stream import Bounds, EventStream
from projections.database import Connection
from projections.progress import Progress
from projections.stored.manifest import Held
from projections.tables import Tables, described


class Last(NamedTuple):
    """The last event of a table, as its history has it."""

    sequence: int
    id: str
    method: str
    time: datetime
    """In UTC, without a zone."""


@dataclass(frozen=True, slots=True)
class Log:
    """What a stream holds now."""

    stream: EventStream
    bounds: Bounds

    @classmethod
    async def of(cls, stream: EventStream) -> "Log":
        """Ask a stream.

        Raises:
            Unavailable: it cannot be read now.
        """
        return cls(stream, await stream.bounds())

    @property
    def channel(self) -> Channel:
        """The channel of the stream."""
        return self.stream.channel

    def left_after(self, progress: Progress | None) -> int:
        """Return how many events tables with this progress have to read."""
        if (
            progress is None
            or progress.epoch != self.stream.epoch
            or progress.head > self.bounds.last
        ):
            return self.bounds.last
        return self.bounds.last - progress.head

    def objection(self, held: Held | None) -> str:
        """Return why a table of a snapshot does not fit; empty if it does."""
        if held is None:
            return "is not in it"
        if held.epoch != self.stream.epoch:
            return "is of another log"
        if held.columns != described(self.channel.columns):
            return "has other columns"
        if held.head > self.bounds.last:
            return f"is at event {held.head}, and the log ends with {self.bounds.last}"
        if held.head + 1 < self.bounds.first:
            return f"is at event {held.head}, and the log begins with {self.bounds.first}"
        return ""

    async def check(self, last: Last) -> None:
        """Check that the last event of a table is the one that the log has there.

        After the log was restored from an older copy, its next events take the sequences of those
        that were lost, in the same epoch.

        Raises:
            Damaged: it is another event, or the log has none.
            Unavailable: it cannot be read now.
        """
        stored = await self.stream.get(last.sequence)
        event = None if stored is None else stored.event
        if event is None or (event.id, event.method, _as_utc(event.time)) != last[1:]:
            raise Damaged(f"{self.channel.name} has another event {last.sequence} than the log")


def last_event(connection: Connection, channel: Channel, sequence: int) -> Last:
    """Return the event at a sequence as the history of a channel has it.

    Raises:
        Damaged: the history has none, or several.
    """
    history = Tables(channel).history
    found = connection.execute(
        f"SELECT _seq, id, _method, _time FROM {history} WHERE _seq = ?",  # noqa: S608 - quoted
        [sequence],
    ).fetchall()
    if len(found) != 1:
        raise Damaged(f"table {channel.name} does not have its event {sequence}")
    return Last(*found[0])


def _as_utc(time: str) -> datetime:
    return datetime.fromisoformat(time).astimezone(UTC).replace(tzinfo=None)
