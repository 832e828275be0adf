"""Rebuilding: brings the tables of a channel up to the end of its log, from nothing if need be."""

import time
from contextlib import suppress

from eventhub.background import background
from eventhub.errors import Unavailable
from eventhub.stream import EventStream
from projections.backlog import SILENCE_SECONDS, OnProgress
from projections.projector import Projector
from projections.store import Progress, Store

PROGRESS_SECONDS = 0.25
"""Between two reports of progress."""


async def rebuild(store: Store, stream: EventStream, on_progress: OnProgress) -> Progress:
    """Rebuild a channel's tables from its stream, up to the last event that it holds now.

    Raises:
        Unavailable: the stream does not deliver its events, or the store cannot be written; the
            next start of a projector continues from there.
    """
    await store.reset(stream.channel.name, stream.epoch)
    return await catch_up(store, stream, on_progress)


async def catch_up(store: Store, stream: EventStream, on_progress: OnProgress) -> Progress:
    """Bring a channel's tables up to the last event of its stream; errors as in `rebuild`."""
    channel = stream.channel.name
    projector = Projector(store, stream)
    async with background() as tasks:
        tasks.start(projector.run(), name=f"catch up {channel}")
        await reach(projector, (await stream.bounds()).last, on_progress)
    return store.progress(channel)


async def reach(projector: Projector, last: int, on_progress: OnProgress) -> None:
    """Wait until the current table includes a sequence, however long that takes.

    Raises:
        Unavailable: there was a failure, or no progress in `SILENCE_SECONDS`.
    """
    heard, head = time.monotonic(), projector.head
    while projector.watermark < last:
        with suppress(Unavailable):
            await projector.caught_up(last, PROGRESS_SECONDS)
        on_progress(projector.watermark, last)
        if projector.head > head or projector.is_taking_up:
            heard, head = time.monotonic(), projector.head
        if projector.is_failing or time.monotonic() - heard > SILENCE_SECONDS:
            raise Unavailable(f"the projection is stuck at {projector.head}, before {last}")
