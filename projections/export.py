"""Export: what the log and the tables know, as files that others read without a hub.

Events are read from the log itself, so the hub may run, and the tables need not be there. Into a
folder they go in steps: the files of a step, one for each day in it, then the manifest that names
them. Whatever is killed in between, the next run goes on after the last step (ADR-53).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import replace

from eventhub.event import Sealed, SealedEvent
from eventhub.stream import EventStream
from projections.backlog import OnProgress, read_to_end
from projections.columnar import EventsAsArrow, event_schema, row_schema
from projections.files import written
from projections.formats import FORMATS, Origin
from projections.manifest import Manifest, Part, Scope, claimed, part_name, save, take_up
from projections.row_batches import Rows
from projections.selection import Selection

STEP_EVENTS = 100_000
STEP_BYTES = 64 << 20
"""Of payloads: what one step holds in memory, several times over."""
OpenRows = AbstractAsyncContextManager[Rows]


async def export_events(
    stream: EventStream, scope: Scope, folder: Path, on_progress: OnProgress, *, again: bool = False
) -> Manifest:
    """Export the events that the log holds now into a folder, or those that are new there.

    Args:
        stream: of the channel.
        scope: what of it; its format is one of `FORMATS`.
        folder: made if it is not there; an earlier run of the same scope is gone on with.
        on_progress: called with the sequence that was reached, and the last one.
        again: whether to go on after an export that is complete.

    Raises:
        Rejected: the folder holds something else, or the scope cannot be understood.
        Misconfigured: the folder cannot be used.
        Unavailable: the log cannot be read, or a file not be written; another run goes on.
    """
    selection = Selection.of(scope, stream.channel)
    origin = Origin(stream.channel, stream.epoch, event_schema(stream.channel))
    last = (await stream.bounds()).last
    with claimed(folder), EventsAsArrow(stream.channel) as convert:
        manifest = take_up(folder, scope, stream.epoch, last, again=again)
        manifest = replace(manifest, complete=False, columns=_types(origin.schema))
        save(folder, manifest)
        steps = _steps(stream, on_progress, manifest.sequence)
        async with aclosing(steps):
            async for events in steps:
                table = await asyncio.to_thread(selection.table, convert, events)
                parts = await asyncio.to_thread(_parts, table, scope, origin, folder, events)
                manifest = replace(
                    manifest, parts=(*manifest.parts, *parts), sequence=events[-1].sequence
                )
                save(folder, manifest)
        manifest = replace(manifest, complete=True)
        save(folder, manifest)
    return manifest


async def export_events_to_file(
    stream: EventStream, scope: Scope, path: Path, on_progress: OnProgress
) -> Manifest:
    """Export the events that the log holds now as one file, which replaces what is there.

    Raises:
        Rejected: the scope cannot be understood.
        Unavailable: the log cannot be read, or the file not be written.
    """
    selection = Selection.of(scope, stream.channel)
    origin = Origin(stream.channel, stream.epoch, event_schema(stream.channel))
    count = sequence = 0
    with written(path) as partial, EventsAsArrow(stream.channel) as convert:
        with FORMATS[scope.format].open(partial, origin) as file:
            steps = _steps(stream, on_progress)
            async with aclosing(steps):
                async for events in steps:
                    table = await asyncio.to_thread(selection.table, convert, events)
                    await asyncio.to_thread(file.write, table)
                    count, sequence = count + len(table), events[-1].sequence
        part = Part(file=path.name, count=count, bytes=partial.stat().st_size)
    return Manifest(
        scope=scope, epoch=stream.epoch, sequence=sequence, complete=True, parts=(part,)
    )


async def export_rows(
    rows: OpenRows, stream: EventStream, scope: Scope, folder: Path, *, again: bool = False
) -> Manifest:
    """Export the current rows into a folder, as one file that is replaced as a whole.

    Args:
        rows: opens those that match the conditions of the scope.
        stream: of the channel.
        scope: what of it.
        folder: as in `export_events`.
        again: as in `export_events`. If nothing was written to the table since, nothing is done.

    Raises:
        As `export_events`.
    """
    selection = Selection.of(scope, stream.channel)
    origin = Origin(stream.channel, stream.epoch, row_schema(stream.channel))
    with claimed(folder):
        async with rows as (progress, tables):
            at = progress.watermark
            manifest = take_up(folder, scope, origin.epoch, at, again=again)
            if manifest.complete and manifest.sequence == at:
                return manifest
            path = folder / f"rows{FORMATS[scope.format].suffix}"
            part = await _write_rows(path, tables, origin, scope, selection)
        manifest = Manifest(
            scope=scope,
            epoch=origin.epoch,
            sequence=at,
            complete=True,
            columns=_types(origin.schema),
            parts=(part,),
        )
        save(folder, manifest)
    return manifest


async def export_rows_to_file(
    rows: OpenRows, stream: EventStream, scope: Scope, path: Path
) -> Manifest:
    """Export the current rows as one file, which replaces what is there; as `export_rows`."""
    selection = Selection.of(scope, stream.channel)
    origin = Origin(stream.channel, stream.epoch, row_schema(stream.channel))
    async with rows as (progress, tables):
        part = await _write_rows(path, tables, origin, scope, selection)
        sequence = progress.watermark
    return Manifest(
        scope=scope, epoch=origin.epoch, sequence=sequence, complete=True, parts=(part,)
    )


async def _write_rows(
    path: Path, tables: AsyncIterator[pa.Table], origin: Origin, scope: Scope, selection: Selection
) -> Part:
    """Write a file; small tables are gathered, for each would be a row group of its own."""
    count = 0
    with written(path) as partial:
        with FORMATS[scope.format].open(partial, origin) as file:
            async for table in _gathered(tables):
                chosen = selection.narrow(table)
                await asyncio.to_thread(file.write, chosen)
                count += len(chosen)
        return Part(file=path.name, count=count, bytes=partial.stat().st_size)


async def _gathered(tables: AsyncIterator[pa.Table]) -> AsyncIterator[pa.Table]:
    waiting: list[pa.Table] = []
    async for table in tables:
        waiting.append(table)
        if sum(each.nbytes for each in waiting) >= STEP_BYTES:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


async def _steps(
    stream: EventStream, on_progress: OnProgress, after: int = 0
) -> AsyncGenerator[list[SealedEvent], None]:
    """Iterate over the events of the log after a sequence, as many at once as make a step."""
    step: list[SealedEvent] = []
    size = 0
    async with aclosing(read_to_end(stream, on_progress, after)) as batches:
        async for batch in batches:
            step += batch
            size += sum(len(event.payload) for event in batch)
            if len(step) >= STEP_EVENTS or size >= STEP_BYTES:
                yield step
                step, size = [], 0
    if step:
        yield step


def _parts(
    table: pa.Table, scope: Scope, origin: Origin, folder: Path, events: Sequence[Sealed]
) -> list[Part]:
    """Write a step, a file for each day of its events."""
    chosen = FORMATS[scope.format]
    first, last = events[0].sequence, events[-1].sequence
    days = pc.cast(table["_time"], pa.date32())
    parts = []
    for day in pc.unique(days):
        name = part_name(str(day), first, last, chosen.suffix)
        of_day = table.filter(pc.equal(days, day))
        with written(folder / name) as path:
            with chosen.open(path, origin) as file:
                file.write(of_day)
            size = path.stat().st_size
        parts.append(Part(file=name, count=len(of_day), bytes=size))
    return parts


def _types(schema: pa.Schema) -> dict[str, str]:
    return {field.name: str(field.type) for field in schema}
