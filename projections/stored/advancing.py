"""Advancing: open tables that are far behind take the events they lack from a stored snapshot.

A table that rested, or is empty, would read them from the log, at ten microseconds each. What
`finding` has checked is copied in batches, as if they were events of the log, because other tables
of the same file are in use. Whatever fails, the rest is read from the log.
"""

import asyncio
import shutil
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import duckdb
import pyarrow as pa
import structlog

from eventhub.errors import Damaged, EventHubError, Unavailable
from eventhub.filters.sql import quoted_list
from eventhub.metrics import STORED_SNAPSHOTS
from eventhub.stream import EventStream
from projections.database import open_database
from projections.history import Rows
from projections.progress import Progress
from projections.store import Store
from projections.stored.finding import Finder
from projections.stored.fitting import Last, Log, last_event
from projections.stored.manifest import Manifest
from projections.stored.place import OpenObjects
from projections.tables import Tables
from projections.taking_up import take_up

BATCH_ROWS: Final = 2048
"""The fewest that DuckDB gives at once."""
BATCH_BYTES: Final = 32 << 20
"""So many bytes are copied at once, which the tables of other channels wait for."""
EVENT_BYTES: Final = 2048
"""To fetch so much of a snapshot takes as long as to read an event from the log."""
SMALL_BYTES: Final = 16 << 20
"""A snapshot of this size is fetched in a moment."""
RETRY_SECONDS: Final = 60.0
"""Snapshots that could not be read are not asked for again before that: all tables would wait."""
READER_MEMORY: Final = "256MB"
"""Of DuckDB, for the file that is copied from."""
FOLDER: Final = ".advance-"
"""What the name of the folder of a fetched snapshot begins with."""

logger = structlog.get_logger(__name__)


class Advance:
    """Takes up the tables of an open store, as near to the end of the log as a snapshot is."""

    def __init__(self, path: Path, open_objects: OpenObjects, every: int) -> None:
        """Prepare; what a killed process has fetched is removed.

        Args:
            path: of the store.
            open_objects: opens where snapshots are stored.
            every: events that a snapshot must save.
        """
        self._path = path
        self._open_objects = open_objects
        self._every = every
        self._turn = asyncio.Lock()
        self._again_at = 0.0
        for left in path.parent.glob(f"{FOLDER}*"):
            _remove(left)

    async def take_up(self, store: Store, stream: EventStream) -> Progress:
        """Return where a channel continues; see `projections.taking_up`.

        Raises:
            duckdb.Error: the store cannot be written.
            Unavailable: the stream cannot be read now.
        """
        progress = await take_up(store, stream)
        log = await Log.of(stream)
        if log.left_after(progress) < self._every:
            return progress
        async with self._turn:
            if time.monotonic() >= self._again_at:
                await self._catch_up(store, log)
        return store.progress(stream.channel.name)

    async def _catch_up(self, store: Store, log: Log) -> None:
        try:
            finder = Finder(await self._open_objects(), [log])
            while (found := await self._best(finder, log, store)) is not None:
                if await self._advance(finder, found, store, log):
                    break
        except EventHubError as error:
            self._again_at = time.monotonic() + RETRY_SECONDS
            logger.warning("snapshots_unavailable", reason=error.message)
            STORED_SNAPSHOTS.labels("unavailable").inc()

    async def _best(self, finder: Finder, log: Log, store: Store) -> Manifest | None:
        """Return the best snapshot, if the file of all tables is worth it for this one."""
        progress = store.progress(log.channel.name)
        found = await finder.best({log.channel.name: progress}, self._every)
        if found is None:
            return None
        saved = log.left_after(progress) - finder.left_by(found)
        return found if found.size <= max(saved * EVENT_BYTES, SMALL_BYTES) else None

    async def _advance(self, finder: Finder, found: Manifest, store: Store, log: Log) -> bool:
        started = time.monotonic()
        try:
            own = await _last_of(store, log)
            with _folder(self._path) as folder:
                path = folder / "snapshot.duckdb"
                await finder.fetch(found, path)
                await _copy(store, store.tables[log.channel.name], path, own)
        except (EventHubError, OSError) as error:
            finder.refuse(found.name, str(error))
            return False
        finder.note_loaded(found, time.monotonic() - started)
        return True


async def _last_of(store: Store, log: Log) -> Last | None:
    """Return the last event of a table of the store; errors as `last_event`."""
    progress = store.progress(log.channel.name)
    if not progress.head:
        return None
    async with store.reader() as reader:
        return await store.read(reader, lambda root: last_event(root, log.channel, progress.head))


async def _copy(store: Store, tables: Tables, path: Path, own: Last | None) -> None:
    """Copy the events after the last one of a store's table; errors as `_lacking`."""
    name, head = tables.channel.name, own.sequence if own else 0
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, "snapshot-reader")
    batches = _lacking(tables, path, own)
    try:
        while (rows := await loop.run_in_executor(thread, next, batches, None)) is not None:
            if store.progress(name).head != head:
                raise Unavailable(f"table {name} is not at event {head} any more")
            head = (await store.append(name, rows)).head
            await store.fold(name)
    finally:
        # In the same thread, because a step may still run after a cancellation.
        thread.submit(batches.close)
        thread.shutdown(wait=False)


def _lacking(tables: Tables, path: Path, own: Last | None) -> Generator[Rows, None, None]:
    """Iterate over the history in a fetched snapshot that a table lacks.

    Args:
        tables: of the channel.
        path: of the snapshot.
        own: the last event that the table has.

    Raises:
        Damaged: the snapshot has another event there, or cannot be read.
    """
    name, after = tables.channel.name, own.sequence if own else 0
    connection, _ = open_database(path, {"memory_limit": READER_MEMORY})
    try:
        if own is not None and last_event(connection, tables.channel, after) != own:
            raise Damaged(f"{name} has another event {after} than the table")
        columns = quoted_list(tables.history_names)
        found = connection.sql(f"SELECT {columns} FROM {tables.history} WHERE _seq > {after:d}")  # noqa: S608 - quoted
        for rows in _gathered(found.to_arrow_reader(BATCH_ROWS)):
            sequences = rows["_seq"].to_pylist()
            if any(later <= earlier for earlier, later in pairwise(chain([after], sequences))):
                raise Damaged(f"the history of {name} is not in its order")
            after = sequences[-1]
            yield Rows(rows)
    except duckdb.Error as error:
        raise Damaged(f"its database cannot be read: {error}") from error
    finally:
        connection.close()


def _gathered(batches: pa.RecordBatchReader) -> Iterator[pa.Table]:
    gathered: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        gathered.append(batch)
        size += batch.nbytes
        if size >= BATCH_BYTES:
            yield pa.Table.from_batches(gathered)
            gathered, size = [], 0
    if size:
        yield pa.Table.from_batches(gathered)


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """Lend a private folder next to a file."""
    folder = Path(mkdtemp(prefix=FOLDER, dir=path.parent))
    try:
        yield folder
    finally:
        # Not awaited: to remove a large file takes a while.
        _ = asyncio.get_running_loop().run_in_executor(None, _remove, folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
