"""Loading: a process without tables, or with old ones, begins with those of a stored snapshot.

What `finding` has checked takes the place of the file of tables, before that is opened.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb

from eventhub.errors import EventHubError, Unavailable
from eventhub.objects import Objects
from projections.database import open_database
from projections.files import partial_of, written
from projections.progress import Progress, read_all_progress
from projections.stored.finding import Finder
from projections.stored.fitting import Log
from projections.stored.manifest import Manifest


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
        self._finder = Finder(objects, logs)
        self._every = every

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
            worth = self._every if present is not None else 1
            while (found := await self._finder.best(present or {}, worth)) is not None:
                if await self._try(found, is_new=present is None):
                    return found
        return None

    async def _try(self, manifest: Manifest, *, is_new: bool) -> bool:
        started = time.monotonic()
        try:
            with written(self._path) as partial:
                await self._finder.fetch(manifest, partial)
                _make_way(self._path, is_new=is_new)
        except EventHubError as error:
            self._finder.refuse(manifest.name, str(error))
            return False
        self._finder.note_loaded(manifest, time.monotonic() - started)
        return True


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
