"""Writing: a projector stores a snapshot of its tables, whenever the log has grown enough.

Nothing waits for it. Its checkpoint pauses the projector for as long as any other checkpoint does;
then the file is read while writes go on. Only parts that the last snapshots do not have are stored.
Snapshots of another hub in the same place are neither used nor deleted.
"""

import asyncio
import hashlib
import time
from collections.abc import Iterable, Mapping
from typing import Final

import duckdb
import msgspec
import structlog

from eventhub import __version__
from eventhub.errors import Damaged, EventHubError, Unavailable
from eventhub.metrics import STORED_SNAPSHOTS
from eventhub.objects import Listed, Objects
from projections.database_file import Checkpoint
from projections.progress import Progress
from projections.store import Store
from projections.stored.manifest import (
    END,
    PART_BYTES,
    Held,
    Manifest,
    Part,
    age_seconds,
    new_name,
    read_manifest,
)
from projections.stored.place import OpenObjects
from projections.tables import described

CHECK_SECONDS: Final = 1.0
"""Between two looks at how much the log has grown."""
SHARE: Final = 20
"""At most one part in so many of the time is spent on storing."""
RETRY_SECONDS: Final = 60.0
"""After a failure."""
KEPT: Final = 2
"""Snapshots that are kept: the one before the newest may be being loaded."""
ABANDONED_SECONDS: Final = 3600.0
"""After this time an object that belongs to no snapshot was left by a killed process."""
REUSED_SECONDS: Final = ABANDONED_SECONDS / 2
"""Until this time parts of a snapshot that failed are used for the next one."""

logger = structlog.get_logger(__name__)


class SnapshotWriter:
    """Stores snapshots of one store's tables; `run` does the work."""

    def __init__(self, store: Store, open_objects: OpenObjects, every: int) -> None:
        """Prepare.

        Args:
            store: whose tables are stored.
            open_objects: opens where they are stored.
            every: events that the log must have grown by since the last snapshot, in all tables.
        """
        self._store = store
        self._open_objects = open_objects
        self._every = every
        self._failing = ""
        self._unused: dict[str, Part] = {}
        """Parts that were stored for a snapshot that failed, by checksum."""
        self._others: set[str] = set()
        """The names of snapshots of other hubs in the same place."""

    @property
    def notes(self) -> list[str]:
        """What fails now, a line each."""
        return (
            [f"snapshots of the tables cannot be stored: {self._failing}"] if self._failing else []
        )

    @property
    def _progress(self) -> dict[str, Progress]:
        return {name: self._store.progress(name) for name in self._store.tables}

    async def run(self) -> None:
        """Store snapshots until cancelled."""
        newest: Manifest | None = None
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if _grown(newest, self._progress) < self._every:
                continue
            started = time.monotonic()
            try:
                newest = await self.store_if_due()
                self._failing = ""
            except Exception as error:  # noqa: BLE001 - it is logged, and the hub goes on
                self._fail(error)
                await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(SHARE * (time.monotonic() - started))

    def _fail(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if reason != self._failing:
            is_expected = isinstance(error, EventHubError | duckdb.Error | OSError)
            logger.warning("snapshot_not_stored", reason=reason, exc_info=not is_expected)
        self._failing = reason
        STORED_SNAPSHOTS.labels("failed").inc()

    async def store_if_due(self) -> Manifest | None:
        """Store a snapshot, unless a recent one is there; return the newest.

        Raises:
            EventHubError: it cannot be stored.
            duckdb.Error: the tables cannot be read.
        """
        objects = await self._open_objects()
        listed = await objects.listed()
        every = await _manifests(objects, listed)
        found = [each for each in every if each.is_of(self._progress)]
        others = [each for each in every if each not in found]
        self._note_others({each.name for each in others})
        newest = found[-1] if found else None
        if _grown(newest, self._progress) < self._every:
            return newest  # another projector has stored it
        kept = [part for each in found for part in each.parts]
        unused = [part for part in self._unused.values() if age_seconds(part.name) < REUSED_SECONDS]
        known = {part.sha256: part for part in [*unused, *kept] if part.name in listed.whole}
        self._unused = {part.sha256: part for part in unused}
        started = time.monotonic()
        made = await self._store_snapshot(objects, known)
        await _check(objects, made)
        new = {part for part in made.parts if part.name.startswith(made.name)}
        logger.info(
            "snapshot_stored",
            snapshot=made.name,
            bytes=made.size,
            new_bytes=sum(part.size for part in new),
            seconds=round(time.monotonic() - started, 3),
            tables={name: held.head for name, held in made.tables.items()},
        )
        STORED_SNAPSHOTS.labels("stored").inc()
        await _prune(objects, listed, [*found, made], others)
        return made

    def _note_others(self, names: set[str]) -> None:
        if names and not self._others:
            logger.warning("snapshots_of_another_log", snapshots=sorted(names))
        self._others = names

    async def _store_snapshot(self, objects: Objects, known: dict[str, Part]) -> Manifest:
        name = new_name()
        parts: list[Part] = []
        async with self._store.at_checkpoint() as checkpoint:
            for offset in range(0, checkpoint.size, PART_BYTES):
                data, sha256 = await asyncio.to_thread(_read, checkpoint, offset)
                part = known.get(sha256)
                if part is None:
                    part = Part(f"{name}.duckdb.{len(parts):05}", len(data), sha256)
                    await objects.put(part.name, data)
                    known[sha256] = self._unused[sha256] = part
                parts.append(part)
            checkpoint.check()
        tables = self._held(checkpoint.progress)
        made = Manifest(name=name, version=__version__, tables=tables, parts=parts)
        await objects.put(name + END, msgspec.json.encode(made))
        self._unused.clear()
        return made

    def _held(self, progress: Mapping[str, Progress]) -> dict[str, Held]:
        tables = self._store.tables
        return {
            name: Held(at.epoch, at.head, at.watermark, described(tables[name].columns))
            for name, at in progress.items()
        }


def _grown(newest: Manifest | None, progress: Mapping[str, Progress]) -> int:
    if newest is None:
        return sum(each.head for each in progress.values())
    return newest.grown(progress)


def _read(checkpoint: Checkpoint, offset: int) -> tuple[bytes, str]:
    data = checkpoint.read(offset, min(PART_BYTES, checkpoint.size - offset))
    return data, hashlib.sha256(data).hexdigest()


async def _manifests(objects: Objects, listed: Listed) -> list[Manifest]:
    """Return the manifests that are whole, oldest first.

    Raises:
        Unavailable: one cannot be read now: nobody knows which parts it needs.
    """
    found: list[Manifest] = []
    for name in listed.whole:
        if name.endswith(END):
            try:
                data = await objects.get(name)
                if data is not None:
                    found.append(read_manifest(name.removesuffix(END), data))
            except Damaged as error:
                logger.warning("snapshot_refused", snapshot=name, reason=error.message)
    return found


async def _check(objects: Objects, made: Manifest) -> None:
    """Withdraw a snapshot of which another process has deleted a part."""
    whole = set((await objects.listed()).whole)
    if missing := [part.name for part in made.parts if part.name not in whole]:
        await objects.delete(made.name + END)
        raise Unavailable(f"another process has deleted {missing[0]}")


async def _prune(
    objects: Objects, listed: Listed, found: list[Manifest], others: list[Manifest]
) -> None:
    """Delete all but the newest snapshots of this hub, and what killed processes have left."""
    old, kept = found[:-KEPT], [*found[-KEPT:], *others]
    for each in old:
        await objects.delete(each.name + END)
    needed = _parts(kept)
    doomed = _parts(old) - needed
    readable = {each.name + END for each in [*found, *others]}
    left = {*listed.whole, *listed.unfinished} - needed - doomed - readable
    abandoned = {name for name in left if age_seconds(name) > ABANDONED_SECONDS}
    for name in sorted(doomed | abandoned):
        await objects.delete(name)


def _parts(manifests: Iterable[Manifest]) -> set[str]:
    return {part.name for each in manifests for part in each.parts}
