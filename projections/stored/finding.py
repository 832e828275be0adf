"""Finding: the stored snapshot that brings tables nearest to the end of their log, checked.

Nothing is believed that is not checked: the bytes by their checksums, each table by its epoch, its
columns and its position in the log. Tables that do not fit are left out.
"""

import asyncio
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

import duckdb
import structlog

from eventhub.background import side_by_side
from eventhub.errors import Damaged, Unavailable
from eventhub.metrics import STORED_SNAPSHOTS
from eventhub.objects import Objects
from eventhub.stream import STREAMS_AT_ONCE
from projections.database import open_database
from projections.progress import Progress, read_all_progress
from projections.stored.fitting import Last, Log, last_event
from projections.stored.manifest import END, Manifest, Part, read_manifest
from projections.tables import drop, known_columns

RESERVED_BYTES: Final = 256 << 20
"""Left free on the disk."""
PARTS_AT_ONCE: Final = 4
"""Parts that are fetched at a time; all of them are in memory then."""

logger = structlog.get_logger(__name__)


class Finder:
    """Finds and fetches snapshots of some tables; those that it has refused do not come again."""

    def __init__(self, objects: Objects, logs: list[Log]) -> None:
        """Prepare.

        Args:
            objects: where snapshots are stored.
            logs: of the tables.
        """
        self._objects = objects
        self._logs = {log.channel.name: log for log in logs}
        self._refused: set[str] = set()

    async def best(self, present: Mapping[str, Progress], worth: int) -> Manifest | None:
        """Return the snapshot that leaves the fewest events to read, if it saves enough of them.

        Args:
            present: how far the tables are now.
            worth: events that it must save.

        Raises:
            Unavailable: the store of objects cannot be read now.
        """
        listed = await self._objects.listed()
        found: list[Manifest] = []
        for name in listed.whole:
            if name.endswith(END) and (snapshot := name.removesuffix(END)) not in self._refused:
                try:
                    found.append(await self._examined(snapshot))
                except Damaged as error:
                    self.refuse(snapshot, error.message)
        now = self._left(present)
        useful = [each for each in found if now - self.left_by(each) >= worth]
        return min(useful, key=self.left_by, default=None)

    async def fetch(self, manifest: Manifest, path: Path) -> None:
        """Write a snapshot to a new file, without the tables that do not fit, and check it.

        Raises:
            Damaged: it is not what its manifest says, or not of this log.
            Unavailable: it cannot be read now, or the disk has no room for it.
        """
        await self._write(manifest, path)
        try:
            last = await asyncio.to_thread(self._adapt, manifest, path)
        except duckdb.Error as error:
            raise Damaged(f"its database cannot be read: {error}") from error
        await side_by_side(lambda name: self._logs[name].check(last[name]), last, STREAMS_AT_ONCE)

    def refuse(self, name: str, reason: str) -> None:
        """Log why a snapshot is not used, and do not find it again."""
        self._refused.add(name)
        logger.warning("snapshot_refused", snapshot=name, reason=reason)
        STORED_SNAPSHOTS.labels("refused").inc()

    def note_loaded(self, manifest: Manifest, seconds: float) -> None:
        """Log that tables are those of a snapshot now."""
        logger.info(
            "snapshot_loaded",
            snapshot=manifest.name,
            bytes=manifest.size,
            seconds=round(seconds, 3),
            tables={name: at.head for name, at in self._fitting(manifest).items()},
            left_out=self._objections(manifest),
            events_left=self.left_by(manifest),
        )
        STORED_SNAPSHOTS.labels("loaded").inc()

    def left_by(self, manifest: Manifest) -> int:
        """Return how many events tables of a snapshot have to read."""
        return self._left(self._fitting(manifest))

    async def _examined(self, name: str) -> Manifest:
        data = await self._objects.get(name + END)
        if data is None:
            raise Damaged("its manifest is missing")
        manifest = read_manifest(name, data)
        objections = self._objections(manifest)
        if len(objections) == len(self._logs):
            raise Damaged("; ".join(f"{table} {why}" for table, why in objections.items()))
        return manifest

    def _objections(self, manifest: Manifest) -> dict[str, str]:
        reasons = {
            name: log.objection(manifest.tables.get(name)) for name, log in self._logs.items()
        }
        return {name: why for name, why in reasons.items() if why}

    def _fitting(self, manifest: Manifest) -> dict[str, Progress]:
        objections = self._objections(manifest)
        return {
            name: manifest.tables[name].progress for name in self._logs if name not in objections
        }

    def _left(self, progress: Mapping[str, Progress]) -> int:
        return sum(log.left_after(progress.get(name)) for name, log in self._logs.items())

    async def _write(self, manifest: Manifest, path: Path) -> None:
        free = shutil.disk_usage(path.parent).free
        if free < manifest.size + RESERVED_BYTES:
            raise Unavailable(f"{path.parent} has no room for its {manifest.size >> 20} MiB")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for first in range(0, len(manifest.parts), PARTS_AT_ONCE):
                parts = manifest.parts[first : first + PARTS_AT_ONCE]
                # A store that is far away takes longer to answer than to send a part.
                found = await side_by_side(self._part, parts, PARTS_AT_ONCE)
                for part, data in zip(parts, found, strict=True):
                    await asyncio.to_thread(_append, file, data, part)

    async def _part(self, part: Part) -> bytes:
        data = await self._objects.get(part.name)
        if data is None:
            raise Damaged(f"its part {part.name} is missing")
        return data

    def _adapt(self, manifest: Manifest, path: Path) -> dict[str, Last]:
        """Check that the database is what the manifest says, and drop tables that do not fit.

        Returns:
            The last event of each of the others that has any.
        """
        fitting = self._fitting(manifest)
        connection, _ = open_database(path)
        try:
            known, progress = known_columns(connection), read_all_progress(connection)
            for name, at in fitting.items():
                columns = manifest.tables[name].columns
                if known.get(name) != columns or progress.get(name) != at:
                    raise Damaged(f"table {name} is not as its manifest says")
            for name in known.keys() - fitting.keys():
                drop(connection, name)
            connection.execute("CHECKPOINT")
            return {
                name: last_event(connection, self._logs[name].channel, at.head)
                for name, at in fitting.items()
                if at.head
            }
        finally:
            connection.close()


def _append(file: IO[bytes], data: bytes, part: Part) -> None:
    if len(data) != part.size or hashlib.sha256(data).hexdigest() != part.sha256:
        raise Damaged(f"its part {part.name} has another checksum")
    file.write(data)
