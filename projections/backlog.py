"""Backlog: the events that a stream holds already, in the large batches that DuckDB likes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from eventhub.errors import Unavailable
from eventhub.event import Sealed, SealedEvent
from eventhub.stream import EventStream

BATCH_EVENTS = 10_000
BATCH_BYTES = 32 << 20
"""Waiting events are stored without delay once they are this many; a batch has no more events."""
SILENCE_SECONDS = 30.0
"""A stream is given up if it does not deliver its events for this long."""

Follow = Callable[[int], AbstractAsyncContextManager[AsyncIterator[Sequence[Sealed]]]]
"""Reads the events after a sequence, as they come."""
OnProgress = Callable[[int, int], None]
"""Called with the progress: the sequence that was reached, and the last one."""


def is_enough(events: int, size: int) -> bool:
    """Return whether so many events, of so many bytes together, are worth a batch."""
    return events >= BATCH_EVENTS or size >= BATCH_BYTES


def size_of(batch: Sequence[Sealed]) -> int:
    """Return the bytes of the payloads of some events."""
    return sum(len(event.payload) for event in batch)


async def read_to_end(
    stream: EventStream, on_progress: OnProgress, after: int = 0
) -> AsyncGenerator[list[SealedEvent], None]:
    """Iterate over all events after a sequence that the stream holds now, in large batches.

    Close it (`aclosing`) if you leave it early.

    Raises:
        Unavailable: the stream does not deliver them.
    """
    last = (await stream.bounds()).last
    reached = after
    async with stream.follow_sealed(after) as batches:
        while reached < last:
            batch: list[SealedEvent] = []
            while reached < last and not is_enough(len(batch), size_of(batch)):
                batch += [event for event in await _next(batches) if event.sequence <= last]
                reached = batch[-1].sequence
            yield batch
            on_progress(reached, last)


async def _next(batches: AsyncIterator[list[SealedEvent]]) -> list[SealedEvent]:
    try:
        async with asyncio.timeout(SILENCE_SECONDS):
            return await anext(batches)
    except TimeoutError:
        raise Unavailable(
            f"no event for {SILENCE_SECONDS:.0f} s before the end of the log"
        ) from None
