"""Rebuilding: brings the tables of a channel up to the end of its log, from nothing if need be."""

from eventhub.background import background
from eventhub.stream import EventStream
from projections.backlog import OnProgress
from projections.projector import Projector
from projections.store import Progress, Store


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
        await projector.reach((await stream.bounds()).last, on_progress)
    return store.progress(channel)
