"""Taking up: where the tables of a channel continue to be projected, or that they start over."""

from collections.abc import Awaitable, Callable, Collection
from functools import partial

import structlog

from eventhub.background import side_by_side
from eventhub.metrics import DAMAGED
from eventhub.stream import STREAMS_AT_ONCE, EventStream
from projections.progress import Progress
from projections.store import Store

TakeUp = Callable[[Store, EventStream], Awaitable[Progress]]
"""Returns where to continue, as `take_up` does."""

logger = structlog.get_logger(__name__)


async def take_up(store: Store, stream: EventStream) -> Progress:
    """Return where to continue; start over if the tables do not belong to this stream.

    Raises:
        Unavailable: the stream cannot be read now.
    """
    channel = stream.channel.name
    progress = await store.begin(channel, stream.epoch)
    last = (await stream.bounds()).last
    if progress.head <= last:
        return progress
    # The log was restored from an older copy: its next events would count as stored already.
    logger.error("projection_ahead_of_log", channel=channel, head=progress.head, last=last)
    DAMAGED.labels(channel).inc(progress.head - last)
    await store.reset(channel, stream.epoch)
    return store.progress(channel)


async def take_up_all(store: Store, streams: Collection[EventStream]) -> None:
    """Empty all tables of logs that no longer exist: they would seem ahead of the new logs.

    Raises:
        Unavailable: a stream cannot be read now.
    """
    await store.begin_all({stream.channel.name: stream.epoch for stream in streams})
    await side_by_side(partial(take_up, store), streams, STREAMS_AT_ONCE)
