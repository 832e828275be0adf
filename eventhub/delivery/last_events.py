"""Last events: where the last N events begin that a client may see, for `_since=-N`."""

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import NamedTuple

from eventhub.delivery.live_channel import LiveChannel
from eventhub.delivery.view import View
from eventhub.errors import Rejected, Unavailable
from eventhub.stream import Bounds, EventStream

SEARCH_SECONDS = 30.0
"""How long a search may wait for its slot, and how long it may take then."""
MAX_SEARCHED = 100_000
"""Events that one search may read."""


class LastEvents(NamedTuple):
    """The last events of the log that a client may see."""

    wanted: int
    bounds: Bounds
    """Of the log when the client came."""


async def position_before(
    last: LastEvents, view: View, channel: LiveChannel, client: Hashable
) -> int:
    """Return the position before the last events that a view shows.

    Searches have slots of their own, so that clients that resume do not wait for them.

    Raises:
        Rejected: `too_costly`: there are fewer among the newest `MAX_SEARCHED` events.
        Unavailable: the log does not answer, or too many clients search it.
    """
    async with channel.searches.take(client, SEARCH_SECONDS):
        try:
            async with asyncio.timeout(SEARCH_SECONDS):
                return await _search(last, view, channel.stream)
        except TimeoutError:
            raise Unavailable("the event log does not answer") from None


async def _search(last: LastEvents, view: View, stream: EventStream) -> int:
    """Look back in windows that double in size, so that it reads at most twice what it needs."""
    upper, oldest = last.bounds.last, last.bounds.first - 1
    lowest = max(oldest, upper - MAX_SEARCHED)
    missing = last.wanted
    window = 4 * missing
    while upper > lowest:
        after = max(lowest, upper - window)
        found = await _shown(view, stream, after, upper, missing)
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


async def _shown(view: View, stream: EventStream, after: int, up_to: int, count: int) -> deque[int]:
    """Return the sequences of the last `count` events in a range of the log that a view shows."""
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
