"""Sealing in tests: a log whose old events are sealed at once, and what its readers see."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from eventhub.event import Sealed, StoredEvent
from eventhub.jetstream import JetStreamLog
from eventhub.jetstream.sealing import JetStreamSealing
from eventhub.methods import Method
from eventhub.stream import EventStream
from projections.sealing import Sealer
from tests.builders import make_event

AT_ONCE = timedelta(0)
DEADLINE_SECONDS = 40.0


async def write(changes: Sequence[tuple[Method, str]], *streams: EventStream) -> None:
    """Append the same events to streams, each a method and the id of a row: any order will do."""
    for method, row_id in changes:
        last = await streams[0].last(row_id)
        event = make_event(
            id=row_id,
            method=method,
            message={"id": row_id},
            row=None if method == "DELETE" else make_event().row,
        )
        for stream in streams:
            await stream.append(event, expect=last.sequence if last else 0)


async def sealer_of(log: JetStreamLog, stream: EventStream, most_events: int = 1000) -> Sealer:
    """Return what seals all that a stream holds."""
    return Sealer(stream, await sealing_of(log, stream), AT_ONCE, most_events)


async def sealing_of(log: JetStreamLog, stream: EventStream) -> JetStreamSealing:
    """Return what sealing needs of a stream."""
    return await log.sealing(stream.channel, stream.epoch)


async def seal(log: JetStreamLog, stream: EventStream, most_events: int = 1000) -> Sealer:
    """Seal all that a stream holds, and trim it."""
    sealer = await sealer_of(log, stream, most_events)
    while await sealer.run_once():
        pass
    return sealer


async def followed(stream: EventStream, after: int, last: int) -> list[tuple[int, bytes]]:
    """Return the events after a sequence up to another, as followers get them."""
    found: list[Sealed] = []
    async with asyncio.timeout(DEADLINE_SECONDS), stream.follow_sealed(after) as batches:
        while not found or found[-1].sequence < last:
            found += await anext(batches)
    return [(event.sequence, event.payload) for event in found]


async def seen(stream: EventStream, moments: Sequence[datetime]) -> dict[str, Any]:
    """Return all that readers of a log that is not empty can see."""
    last = (await stream.bounds()).last
    sequences = range(last + 2)
    rows = {(await stream.get(s)).event.id for s in range(1, last + 1)}  # type: ignore[union-attr]
    return {
        "bounds": await stream.bounds(),
        "end": await stream.end(),
        "followed": {after: await followed(stream, after, last) for after in range(last)},
        "read": {after: [e.payload for e in await all_read(stream, after)] for after in sequences},
        "events": [await stream.get(sequence) for sequence in sequences],
        "last": {row: await stream.last(row) for row in sorted(rows)},
        "before": [await stream.sequence_before(moment) for moment in moments],
    }


async def all_read(stream: EventStream, after: int = 0) -> list[StoredEvent]:
    """Return the events after a sequence, in as many reads as it takes."""
    found: list[StoredEvent] = []
    while events := await stream.read(found[-1].sequence if found else after, 2000):
        found += events
    return found


def now() -> datetime:
    """Return the instant."""
    return datetime.now(UTC)
