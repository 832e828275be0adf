"""Start: where a client starts to read: at the current rows, or at a position in the log."""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from eventhub.columns import times
from eventhub.delivery.last_events import LastEvents
from eventhub.delivery.live_channel import LiveChannel
from eventhub.delivery.view import View
from eventhub.errors import CutOff, Rejected, Unavailable
from eventhub.event import Position
from eventhub.stream import Bounds

_LAST = re.compile(r"-([1-9][0-9]{0,8})")
_BOUNDS_SECONDS = 1.0
"""How long a client waits for the bounds of the log before it gets what this process knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where reading starts."""

    position: int | None
    """Read everything after it from the log; None: read the current rows."""
    head: int
    """The last sequence when the client came: what follows it is live."""
    recovered: bool = False
    """The client gets exactly what it asked for by `_since`."""
    reason: str = ""
    """For the `_resume` frame; empty if the client did not send `_since`."""
    speed: float | None = 0.0
    """How fast the events up to the present are played, as a multiple of the speed at which they
    happened; 0: as fast as possible; None: nothing follows the rows."""
    last: LastEvents | None = None
    """The events that the position has to be searched for, by `position_before`."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the log held when a client came. The client gets it as the past."""

    head: int
    bounds: Bounds | None
    """None if the log did not answer."""


async def arrival(channel: LiveChannel) -> Arrival:
    """Return what the log holds now, including what other hubs of the same broker wrote.

    Rows can be read without the log: if it does not answer, they are as new as this hub knows. That
    is for a moment: once the stream is known to be in trouble, others may be ahead of this hub. A
    hub whose feed rests knows too little.

    Raises:
        CutOff: the stream is in trouble.
        Unavailable: the log does not answer, and the feed rests.
    """
    if channel.stream.trouble:
        raise CutOff(channel.stream.trouble)
    bounds = None
    with suppress(Unavailable, TimeoutError):
        async with asyncio.timeout(_BOUNDS_SECONDS):
            bounds = await channel.bounds.read()
    if bounds is None and not channel.feed.is_followed:
        raise Unavailable("the event log does not answer")
    # What was acknowledged to a writer may be ahead of the feed by a moment.
    known = max(channel.feed.head, channel.stream.newest)
    return Arrival(known if bounds is None else max(known, bounds.last), bounds)


async def start_of(
    since: str | None, view: View, channel: LiveChannel, arrived: Arrival | None = None
) -> Start:
    """Return where a client starts that sent `_since`.

    Args:
        since: `_since` of the URL; None if it has none.
        view: what the client sees.
        channel: what follows its head is live.
        arrived: what the log held when the client came; by default what it holds now.

    Raises:
        Rejected: `bad_position`.
        Unavailable: the log cannot be read now.
    """
    arrived = arrived or await arrival(channel)
    head = arrived.head
    if since is None:
        return Start(position=0 if view.history else None, head=head)
    bounds = arrived.bounds or await channel.bounds.read()
    oldest, head = bounds.first - 1, max(head, bounds.last)
    if since == "earliest":
        return Start(position=oldest, head=head, recovered=True, reason="earliest")
    if since == "now":
        return Start(position=head, head=head, recovered=True, reason="now")
    if count := _LAST.fullmatch(since):
        last = LastEvents(int(count[1]), bounds)
        return Start(position=oldest, head=head, recovered=True, reason="last", last=last)
    if moment := moment_of(since):
        before = max(oldest, await channel.stream.sequence_before(moment))
        return Start(position=before, head=head, recovered=True, reason="time")
    position = _position(since)
    if lost := _why_lost(position, channel.stream.epoch, oldest, head):
        return Start(position=oldest if view.history else None, head=head, reason=lost)
    return Start(position=position.sequence, head=head, recovered=True, reason="position")


def check_since(since: str) -> None:
    """Check the text of a `_since`, whatever the log holds.

    Raises:
        Rejected: `bad_position`.
    """
    if since not in ("earliest", "now") and not _LAST.fullmatch(since) and not moment_of(since):
        _position(since)


def _position(since: str) -> Position:
    try:
        return Position.parse(since)
    except ValueError:
        raise Rejected(
            "bad_position",
            f"_since: {since!r} is not a position, earliest, now, an ISO time or -N",
            column="_since",
        ) from None


def moment_of(since: str) -> datetime | None:
    """Return the instant of an ISO time, which is in UTC if it has no zone; None for others."""
    if not re.match(r"[0-9]{4}-[0-9]{2}", since):
        return None
    try:
        return times.moment(since).replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # in UTC it may be before the year 1
        return None


def _why_lost(position: Position, epoch: str, oldest: int, head: int) -> str:
    """Return why reading cannot resume at a position; empty if it can."""
    if position.epoch != epoch:
        return "epoch"
    if position.sequence > head:
        return "ahead"
    if position.sequence < oldest:
        return "trimmed"
    return ""
