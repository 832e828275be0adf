"""Loading: a process without tables, or with old ones, begins with those of a stored snapshot.

Nothing is believed that is not checked: the bytes by their checksums, each table by its epoch, its
columns and its position in the log. Tables that do not fit are dropped, and read from the log. All
of it happens in a file of its own, which takes its place last.
"""

import asyncio
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final

import duckdb
import structlog

from eventhub.background import side_by_side
from eventhub.errors import Damaged, EventHubError, Unavailable
from eventhub.metrics import STORED_SNAPSHOTS
from eventhub.objects import Objects
from eventhub.stream import STREAMS_AT_ONCE
from projections.database import open_database
from projections.files import partial_of, written
from projections.progress import Progress, read_all_progress
from projections.stored.fitting import Last, Log, last_event
from projections.stored.manifest import END, Manifest, Part, read_manifest
from projections.tables import drop, known_columns

RESERVED_BYTES: Final = 256 << 20
"""Left free on the disk."""
PARTS_AT_ONCE: Final = 4
"""Parts that are fetched at a time; all of them are in memory then."""

logger = structlog.get_logger(__name__)


class SnapshotLoader:
    """Brings the file of a store up to a stored snapshot, before the store opens it."""

    def __init__(self, path: Path, objects: Objects, logs: list[Log], every: int) -> None:
        """Prepare.

        Args:
            path: of the file, which may not exist.
            objects: where snapshots are stored.
            logs: of all channels.
            every: events that a snapshot must save if there is a file already.
        """
        self._path = path
        self._objects = objects
        self._logs = {log.channel.name: log for log in logs}
        self._every = every
        self._refused: set[str] = set()

    async def load(self) -> Manifest | None:
        """Take over the snapshot that leaves the fewest events to read, if one is worth it.

        A snapshot that is damaged, or does not fit, is refused and logged.

        Returns:
            The snapshot that the tables are of now; None if they are as they were.

        Raises:
            Unavailable: the store of objects cannot be read now.
        """
        with ExitStack() as stack:
            _remove_partial(self._path)
            try:
                present = await asyncio.to_thread(stack.enter_context, _present(self._path))
            except duckdb.Error:
                return None  # it is in use, or damaged: opening it will say so
            while (found := await self._best(present)) is not None:
                if await self._try(found, is_new=present is None):
                    return found
        return None

    async def _best(self, present: Mapping[str, Progress] | None) -> Manifest | None:
        """Return the best snapshot that was not refused; errors as `Objects.listed`."""
        listed = await self._objects.listed()
        found: list[Manifest] = []
        for name in listed.whole:
            if name.endswith(END) and (snapshot := name.removesuffix(END)) not in self._refused:
                try:
                    found.append(await self._examined(snapshot))
                except Damaged as error:
                    self._refuse(snapshot, error.message)
        now = self._left(present or {})
        worth = self._every if present is not None else 1
        useful = [each for each in found if now - self._left_by(each) >= worth]
        return min(useful, key=self._left_by, default=None)

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

    def _left_by(self, manifest: Manifest) -> int:
        return self._left(self._fitting(manifest))

    async def _try(self, manifest: Manifest, *, is_new: bool) -> bool:
        started = time.monotonic()
        try:
            with written(self._path) as partial:
                await self._fetch(manifest, partial)
                last = await asyncio.to_thread(self._adapt, manifest, partial)
                await side_by_side(
                    lambda name: self._logs[name].check(last[name]), last, STREAMS_AT_ONCE
                )
                _make_way(self._path, is_new=is_new)
        except (EventHubError, duckdb.Error) as error:
            self._refuse(manifest.name, str(error))
            return False
        logger.info(
            "snapshot_loaded",
            snapshot=manifest.name,
            bytes=manifest.size,
            seconds=round(time.monotonic() - started, 3),
            tables={name: at.head for name, at in self._fitting(manifest).items()},
            left_out=self._objections(manifest),
            events_left=self._left_by(manifest),
        )
        STORED_SNAPSHOTS.labels("loaded").inc()
        return True

    async def _fetch(self, manifest: Manifest, partial: Path) -> None:
        free = shutil.disk_usage(partial.parent).free
        if free < manifest.size + RESERVED_BYTES:
            raise Unavailable(f"{partial.parent} has no room for its {manifest.size >> 20} MiB")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
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

    def _adapt(self, manifest: Manifest, partial: Path) -> dict[str, Last]:
        """Check that the database is what the manifest says, and drop tables that do not fit.

        Returns:
            The last event of each of the others that has any.
        """
        fitting = self._fitting(manifest)
        connection, _ = open_database(partial)
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

    def _refuse(self, name: str, reason: str) -> None:
        self._refused.add(name)
        logger.warning("snapshot_refused", snapshot=name, reason=reason)
        STORED_SNAPSHOTS.labels("refused").inc()


@contextmanager
def _present(path: Path) -> Iterator[dict[str, Progress] | None]:
    """Yield how far the tables of a file are, which no other process can open during the block.

    Without a file it is None.

    Raises:
        duckdb.Error: another process has it open, or it is not a database of a hub.
    """
    if not path.exists():
        yield None
        return
    connection, _ = open_database(path)
    try:
        yield read_all_progress(connection)
    finally:
        connection.close()


def _append(file: IO[bytes], data: bytes, part: Part) -> None:
    if len(data) != part.size or hashlib.sha256(data).hexdigest() != part.sha256:
        raise Damaged(f"its part {part.name} has another checksum")
    file.write(data)


def _make_way(path: Path, *, is_new: bool) -> None:
    """Prepare that another file takes the place of this one.

    Its WAL goes first: it would be applied to the other one. Without it, the file has older tables.
    """
    if is_new and path.exists():
        raise Unavailable(f"another process has made {path}")
    _wal(path).unlink(missing_ok=True)


def _remove_partial(path: Path) -> None:
    """Remove what a killed process left."""
    partial = partial_of(path)
    for each in (partial, _wal(partial)):
        each.unlink(missing_ok=True)


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")
