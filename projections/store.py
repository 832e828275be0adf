"""Store: the one DuckDB file. One thread writes; readers have transactions of their own.

A batch of events and its checkpoint commit together, and events at or below the checkpoint are
ignored. So wherever a kill comes, the events after `progress().head` are exactly those that are
missing. Only one process can have the file open.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, Self, TypeVar

import duckdb
import structlog

from eventhub import deadlines
from eventhub.channel import Channel
from eventhub.errors import Misconfigured, Unavailable
from projections import database
from projections.database import Connection, open_database, transaction
from projections.database_file import Checkpoint, DatabaseFile
from projections.fold import fold
from projections.history import Batch, append_history, extent, newer
from projections.progress import (
    Progress,
    read_all_progress,
    write_checkpoint,
    write_checkpoints,
    write_watermark,
)
from projections.reader import Reader
from projections.tables import OWN_TABLES, Tables, check_names, empty, prepare, text_bytes

__all__ = ["Connection", "Progress", "Store"]

T = TypeVar("T")
READER_THREADS = 6
logger = structlog.get_logger(__name__)


class Store:
    """The tables of all channels in one file. `async with` opens and closes it."""

    def __init__(
        self,
        path: Path,
        channels: Sequence[Channel],
        *,
        adds_columns: bool = True,
        settings: Mapping[str, str | int] | None = None,
        definitions: Sequence[str] = (),
    ) -> None:
        """Prepare; `open` opens the file.

        Args:
            channels: whose tables it holds.
            adds_columns: False empties tables that get a column, which others may have written.
            settings: of DuckDB, by name, in place of the usual ones.
            definitions: statements that are run at every open, after the tables are prepared.
        """
        check_names(channels)
        self.path = path
        self._adds_columns = adds_columns
        self._settings = settings
        self._definitions = definitions
        self.tables = {channel.name: Tables(channel) for channel in channels}
        self._progress: dict[str, Progress] = {}
        self._text_bytes: dict[str, float] = {}
        self.memory_bytes = database.MEMORY_BYTES
        """What DuckDB holds in memory at most; exact once the store is open."""
        self._readers: set[Reader] = set()
        self._root_lock = Lock()
        self._is_closing = False
        self._held = 0  # readers of the file, who need its last checkpoint
        # Each projector waits for its job, so no more wait than there are channels.
        self._writing = ThreadPoolExecutor(1, "duckdb-writer")
        self._reading = ThreadPoolExecutor(READER_THREADS, "duckdb-reader")
        # Otherwise the end of a long query would wait for a thread that only its end can free.
        self._ending = ThreadPoolExecutor(READER_THREADS, "duckdb-ender")

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the file, or create it, and change its tables to the columns of today.

        Raises:
            Misconfigured: it is not a DuckDB file, or another process has it open.
        """
        try:
            await _in(self._writing, self._open)
        except duckdb.Error as error:
            raise Misconfigured(f"{self.path}: {error}") from error

    async def add(self, channel: Channel) -> None:
        """Hold the tables of one more channel, until the end; errors as `check_names`."""
        check_names([channel])
        await _in(self._writing, self._add, Tables(channel))

    async def close(self, deadline_seconds: float = deadlines.TABLES_SECONDS) -> None:
        """Fold the stored events, checkpoint, and close the file.

        At the deadline, what runs is interrupted; the next open continues from the history.
        """
        self._is_closing = True
        try:
            async with asyncio.timeout(deadline_seconds):
                await _in(self._writing, self._finish)
        except TimeoutError:
            logger.warning("projection_close_interrupted", deadline_seconds=deadline_seconds)
            self._writer.interrupt()
        finally:
            self._writing.shutdown(wait=False)
            self._reading.shutdown(wait=False)
            self._ending.shutdown(wait=False)

    def progress(self, channel: str) -> Progress:
        """Return how far a channel is; never ahead of what is committed."""
        return self._progress[channel]

    def text_bytes(self, channel: str) -> float:
        """Return an upper bound of the bytes of text in a channel's tables; infinite if unknown."""
        return self._text_bytes[channel]

    async def begin(self, channel: str, epoch: str) -> Progress:
        """Continue a channel from its checkpoint; start over if its stream is of another epoch."""
        await self.begin_all({channel: epoch})
        return self.progress(channel)

    async def begin_all(self, epochs: Mapping[str, str]) -> None:
        """Do as `begin` with epochs by channel, in one transaction: each costs an fsync."""
        new = {n: Progress(epoch) for n, epoch in epochs.items() if self.progress(n).epoch != epoch}
        if new:
            await _in(self._writing, self._reset, new)

    async def reset(self, channel: str, epoch: str) -> None:
        """Empty a channel's tables; the events that are appended next are of this epoch."""
        await _in(self._writing, self._reset, {channel: Progress(epoch)})

    async def append(self, channel: str, batch: Batch) -> Progress:
        """Store events, in order, with the checkpoint; events below the checkpoint are ignored.

        Raises:
            duckdb.Error: nothing was stored; call `recover`, then continue from the progress.
        """
        progress = await _in(self._writing, self._append, channel, batch)
        self._writing.submit(self._maintain)
        return progress

    async def fold(self, channel: str) -> Progress:
        """Bring the current table up to the checkpoint; errors as in `append`."""
        return await _in(self._writing, self._fold, channel)

    async def recover(self) -> None:
        """Open the file again if a failure, such as a full disk, has ended DuckDB.

        Raises:
            duckdb.Error: it cannot be opened yet.
        """
        await _in(self._writing, self._recover)

    @asynccontextmanager
    async def at_checkpoint(self) -> AsyncIterator[Checkpoint]:
        """Checkpoint, and make no other one during the block; writes go on. Errors as `fold`."""
        self._held += 1
        try:
            yield await _in(self._writing, self._checkpoint)
        finally:
            self._held -= 1

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        """Open a transaction for reading. With the block it ends, and a step that still runs.

        Raises:
            Unavailable: the store is closing.
        """
        if self._is_closing:
            raise Unavailable("the projection is closing")
        reader = Reader(self._root, self._root_lock)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            # Not awaited: a step may still run, and a cancelled caller must not wait for it.
            reader.interrupt()
            if reader in self._readers:
                self._ending.submit(self._end, reader)

    async def read(self, reader: Reader, step: Callable[[Connection], T]) -> T:
        """Run a step of a reader in one of the reading threads; errors as in `Reader.run`."""
        return await _in(self._reading, reader.run, step)

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._root, self.memory_bytes = open_database(self.path, self._settings)
        self._file = DatabaseFile(self.path)
        self._writer = self._root.cursor()
        self._writer.execute(OWN_TABLES)
        self._prepare(self.tables.values())
        for definition in self._definitions:
            self._writer.execute(definition)

    def _add(self, tables: Tables) -> None:
        self._prepare([tables])
        # Another thread may be iterating over those that there are.
        self.tables = {**self.tables, tables.channel.name: tables}

    def _prepare(self, wanted: Iterable[Tables]) -> None:
        with transaction(self._writer):
            outcomes = prepare(self._writer, wanted, adds_columns=self._adds_columns)
        known = read_all_progress(self._writer)
        for tables, outcome in outcomes:
            name = tables.channel.name
            self._progress[name] = at = known.get(name, Progress())
            self._text_bytes[name] = text_bytes(self._writer, tables) if at.head else 0
            logger.info("projection_opened", channel=name, tables=outcome)

    def _finish(self) -> None:
        try:
            for name in self.tables:
                self._fold(name)
        except duckdb.Error:
            logger.exception("projection_final_fold_failed", path=str(self.path))
        finally:
            self._close()

    def _close(self) -> None:
        """Close all connections: DuckDB releases the file with the last one, after a checkpoint."""
        for reader in tuple(self._readers):
            self._end(reader)
        self._writer.close()
        with self._root_lock:  # a late reader may be making its cursor
            self._root.close()
        self._file.close()

    def _end(self, reader: Reader) -> None:
        """Close a reader, and only then forget it: `_close` must not close the root before it."""
        reader.close()
        self._readers.discard(reader)

    def _recover(self) -> None:
        try:
            self._writer.execute("SELECT 1").fetchall()
        except duckdb.Error:
            logger.warning("projection_reopened", path=str(self.path))
            self._close()
            self._open()

    def _reset(self, new: Mapping[str, Progress]) -> None:
        with transaction(self._writer):
            for channel in new:
                if self._progress[channel].head:  # otherwise the tables are empty
                    empty(self._writer, self.tables[channel])
            write_checkpoints(self._writer, new)
        self._progress |= new
        self._text_bytes |= dict.fromkeys(new, 0.0)

    def _append(self, channel: str, batch: Batch) -> Progress:
        progress = self._progress[channel]
        fresh = newer(batch, progress.head)
        head, size = extent(fresh)
        if head:
            progress = replace(progress, head=head)
            self._text_bytes[channel] += size
            with transaction(self._writer):
                append_history(self._writer, self.tables[channel], fresh)
                write_checkpoint(self._writer, channel, progress)
            self._progress[channel] = progress
        return progress

    def _fold(self, channel: str) -> Progress:
        progress = self._progress[channel]
        if progress.watermark < progress.head:
            with transaction(self._writer):
                fold(self._writer, self.tables[channel], progress.watermark, progress.head)
                progress = replace(progress, watermark=progress.head)
                write_watermark(self._writer, channel, progress)
            self._progress[channel] = progress
        return progress

    def _checkpoint(self) -> Checkpoint:
        self._writer.execute("CHECKPOINT")
        return self._file.checkpoint(dict(self._progress))

    def _maintain(self) -> None:
        if not self._held:
            database.checkpoint_large_wal(self._writer, self.path)


async def _in(threads: Executor, job: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, job, *arguments)
