"""Since: where a client starts to read: at the current rows, or at a position of the log."""

import asyncio
import re
from collections import deque
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from eventhub.columns import times
from eventhub.delivery.live_channel import LiveChannel
from eventhub.delivery.view import View
from eventhub.errors import Rejected, Unavailable
from eventhub.event import Position
from eventhub.stream import Bounds, EventStream

_LAST = re.compile(r"-([1-9][0-9]{0,8})")
_SEARCH_SECONDS = 30.0
MAX_SEARCHED = 100_000
"""Events that are looked at for `-N`."""
_HEAD_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where reading starts."""

    position: int | None
    """Everything after it, from the log; None for the current rows."""
    head: int
    """Last sequence when the client came: what follows it is live."""
    recovered: bool = False
    reason: str = ""
    """For the `_resume` frame; empty if the client named no place."""
    last: "Last | None" = None
    """Where to look for the position, with `searched`."""


class Last(NamedTuple):
    """The last events of the log that a client is told of."""

    wanted: int
    bounds: Bounds
    """Of the log, when the client came."""


@dataclass(frozen=True, slots=True)
class Coming:
    """What the log held when a client came: it is told of this as the past."""

    head: int
    bounds: Bounds | None
    """None if the log could not be asked."""


async def coming(channel: LiveChannel) -> Coming:
    """Return what the log holds now, also of what other hubs of the same broker wrote.

    Rows can be read without the log: if it does not answer, they are as of what this hub knows.
    """
    bounds = None
    with suppress(Unavailable, TimeoutError):
        async with asyncio.timeout(_HEAD_SECONDS):
            bounds = await channel.bounds.read()
    # What was answered to a writer may be ahead of the feed by a moment.
    known = max(channel.feed.head, channel.stream.newest)
    return Coming(known if bounds is None else max(known, bounds.last), bounds)


async def start_of(
    since: str | None, view: View, channel: LiveChannel, came: Coming | None = None
) -> Start:
    """Return where a client starts that asks for `since`.

    Args:
        since: `_since` of the URL.
        view: what the client is told.
        channel: what follows its head is live.
        came: what the log held when the client came; by default what it holds now.

    Raises:
        Rejected: `bad_position`.
        Unavailable: the log cannot be searched now.
    """
    came = came or await coming(channel)
    head = came.head
    if since is None:
        return Start(position=0 if view.history else None, head=head)
    bounds = came.bounds or await channel.bounds.read()
    oldest, head = bounds.first - 1, max(head, bounds.last)
    if since == "earliest":
        return Start(position=oldest, head=head, recovered=True, reason="earliest")
    if since == "now":
        return Start(position=head, head=head, recovered=True, reason="now")
    if count := _LAST.fullmatch(since):
        last = Last(int(count[1]), bounds)
        return Start(position=oldest, head=head, recovered=True, reason="last", last=last)
    if moment := _moment(since):
        position = max(oldest, await channel.stream.sequence_before(moment))
        return Start(position=position, head=head, recovered=True, reason="time")
    lost = _why_lost(_position(since), channel.stream.epoch, oldest, head)
    if lost:
        return Start(position=oldest if view.history else None, head=head, reason=lost)
    return Start(position=_position(since).sequence, head=head, recovered=True, reason="position")


def check_since(since: str) -> None:
    """Check that a text may be asked for, wherever the log ends.

    Raises:
        Rejected: `bad_position`.
    """
    if since not in ("earliest", "now") and not _LAST.fullmatch(since) and not _moment(since):
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


def _moment(since: str) -> datetime | None:
    """An ISO time; without a zone it is UTC."""
    if not re.match(r"[0-9]{4}-[0-9]{2}", since):
        return None
    try:
        return times.moment(since).replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # in UTC it may be before the year 1
        return None


def _why_lost(position: Position, epoch: str, oldest: int, head: int) -> str:
    """Return why a position cannot be resumed from; empty if it can."""
    if position.epoch != epoch:
        return "epoch"
    if position.sequence > head:
        return "ahead"
    if position.sequence < oldest:
        return "trimmed"
    return ""


async def searched(last: Last, view: View, channel: LiveChannel, client: Hashable) -> int:
    """Return the position before the last events that a view is told of.

    Searches have few places of their own, so those who resume do not wait for them.

    Raises:
        Rejected: `too_costly`: there are not so many among the newest `MAX_SEARCHED` events.
        Unavailable: the log does not answer, or too many search it.
    """
    async with channel.searches.take(client, _SEARCH_SECONDS):
        try:
            async with asyncio.timeout(_SEARCH_SECONDS):
                return await _before_last(last, view, channel.stream)
        except TimeoutError:
            raise Unavailable("the event log does not answer") from None


async def _before_last(last: Last, view: View, stream: EventStream) -> int:
    """Look back in windows that double, so that it reads at most twice what it needs."""
    upper, oldest = last.bounds.last, last.bounds.first - 1
    lowest = max(oldest, upper - MAX_SEARCHED)
    missing = last.wanted
    window = 4 * missing
    while upper > lowest:
        after = max(lowest, upper - window)
        found = await _matching(view, stream, after, upper, missing)
        if len(found) == missing:
            return found[0] - 1
        missing -= len(found)
        upper, window = after, 2 * window
    if lowest > oldest:
        raise Rejected(
            "too_costly",
            f"_since: of the newest {MAX_SEARCHED} events only {last.wanted - missing} match, fewer"
            f" than {last.wanted}: ask for fewer, for a time, or for earliest",
            column="_since",
        )
    return oldest


async def _matching(
    view: View, stream: EventStream, after: int, up_to: int, count: int
) -> deque[int]:
    """Return the sequences of the last `count` events after a position that a view is told of."""
    found: deque[int] = deque(maxlen=count)
    if after >= up_to:
        return found
    async with stream.follow(after) as batches:
        async for batch in batches:
            found.extend(s.sequence for s in batch if s.sequence <= up_to and view.shows(s))
            if batch[-1].sequence >= up_to:
                break
            await asyncio.sleep(0)
    return found
