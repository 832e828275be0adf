"""Store: the one DuckDB file. One thread writes; readers have transactions of their own.

A batch of events and its checkpoint commit together, and events at or below the checkpoint are
ignored: whatever is killed in between, the events after `progress().head` are exactly those that
are missing. Only one process can have the file open.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Self, TypeVar

import duckdb
import structlog

from eventhub import deadlines
from eventhub.channel import Channel
from eventhub.errors import Misconfigured, Unavailable
from eventhub.event import Sealed
from projections.fold import fold
from projections.reader import Reader
from projections.tables import BOOKS, Tables, as_arrow, check_names, empty, prepare, text_bytes

Connection = duckdb.DuckDBPyConnection
T = TypeVar("T")

MAX_WAL_BYTES = 256 << 20
"""A checkpoint of this much takes half a second, to read it again after a kill 0.7 s; at DuckDB's
own 16 MB half of the throughput is lost."""
MAX_ROWS_AS_PARAMETERS = 100
"""Up to here parameters are faster than registering an Arrow table (1.2 ms)."""
MEMORY_BYTES = 4 << 30
"""What DuckDB holds in memory at the most, however large the machine; on one with less than 5 GiB
it is DuckDB's own limit, 80 %. Beyond it lets go of what is in the file."""
READER_THREADS = 6

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    # What an analyst's query could reach beyond the tables.
    "enable_external_access": False,
    "python_enable_replacements": False,
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    # A commit must not stop for a checkpoint: `_maintain` makes them, this is the backstop.
    "checkpoint_threshold": "1GB",
    # The other half of the cores is for the loop, which a replay would keep waiting.
    "threads": max(1, len(os.sched_getaffinity(0)) // 2),
}
_BATCH = "_batch"
_PARAMETERS = "(SELECT unnest(?) AS sequence, unnest(?) AS payload)"
logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a channel is projected, in one life of its stream."""

    epoch: str = ""
    """Of the stream; empty before the first event."""
    head: int = 0
    """Last sequence in the history: the checkpoint."""
    watermark: int = 0
    """Last sequence in the current table."""


class Store:
    """All channels' tables in one file. `async with` opens and closes it."""

    def __init__(self, path: Path, channels: Sequence[Channel]) -> None:
        check_names(channels)
        self.path = path
        self.tables = {channel.name: Tables(channel) for channel in channels}
        self._progress: dict[str, Progress] = {}
        self._text_bytes: dict[str, float] = {}
        self.memory_bytes = MEMORY_BYTES
        """What DuckDB holds in memory at the most, once open."""
        self._readers: set[Reader] = set()
        self._root_lock = Lock()
        self._is_closing = False
        # Each projector waits for its job, so this queue is never longer than there are channels.
        self._writing = ThreadPoolExecutor(1, "duckdb-writer")
        self._reading = ThreadPoolExecutor(READER_THREADS, "duckdb-reader")
        # Else the end of a long query would wait for a thread that only its end can free.
        self._ending = ThreadPoolExecutor(READER_THREADS, "duckdb-ender")

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the file, or make it, and bring its tables to today's columns.

        Raises:
            Misconfigured: it is no DuckDB file of ours, or another process has it open.
        """
        try:
            await _in(self._writing, self._open)
        except duckdb.Error as error:
            raise Misconfigured(f"{self.path}: {error}") from error

    async def close(self, deadline_seconds: float = deadlines.TABLES_SECONDS) -> None:
        """Fold what is stored, checkpoint, and close the file.

        Past the deadline what runs is interrupted. Nothing is lost by that: the history is
        committed, and the next open goes on where the tables are.
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
        """Return a bound of the text in all rows of a channel's tables; infinite if unknown."""
        return self._text_bytes[channel]

    async def begin(self, channel: str, epoch: str) -> Progress:
        """Take a channel up where it was left, or anew if its stream is in another epoch."""
        if self.progress(channel).epoch != epoch:
            await self.reset(channel, epoch)
        return self.progress(channel)

    async def reset(self, channel: str, epoch: str) -> None:
        """Empty a channel's tables; what is appended next is of this epoch."""
        await _in(self._writing, self._reset, channel, epoch)

    async def append(self, channel: str, batch: Sequence[Sealed]) -> Progress:
        """Store events, in order, and the checkpoint; those that it covers are ignored.

        Raises:
            duckdb.Error: nothing of the batch was stored; `recover`, then go on from the progress.
        """
        progress = await _in(self._writing, self._append, channel, batch)
        self._writing.submit(self._maintain)
        return progress

    async def fold(self, channel: str) -> Progress:
        """Move the current table to the checkpoint; errors as `append`."""
        return await _in(self._writing, self._fold, channel)

    async def recover(self) -> None:
        """Open the file again if a failure, as of a full disk at a checkpoint, has killed DuckDB.

        Raises:
            duckdb.Error: it cannot be opened yet.
        """
        await _in(self._writing, self._recover)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        """Lend a transaction to read in. It is ended even if the borrower is cancelled.

        What still runs in it then is interrupted.

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
            # Not awaited: a step may still run, and whoever was cancelled must not wait for it.
            reader.interrupt()
            if reader in self._readers:
                self._ending.submit(self._end, reader)

    async def read(self, reader: Reader, step: Callable[[Connection], T]) -> T:
        """Run a step of a reader in one of the few reading threads; errors as `Reader.run`."""
        return await _in(self._reading, reader.run, step)

    # --- In the writing thread ----------------------------------------------------------------

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._root = duckdb.connect(self.path, config=_SETTINGS)
        self.memory_bytes = _limit_memory(self._root)
        self._root.execute("SET lock_configuration = true")
        self._writer = self._root.cursor()
        self._writer.execute(BOOKS)
        for name, tables in self.tables.items():
            with self._transaction() as writer:
                outcome = prepare(writer, tables)
            self._progress[name] = self._stored_progress(name)
            self._text_bytes[name] = text_bytes(self._writer, tables)
            logger.info("projection_opened", channel=name, tables=outcome)

    def _stored_progress(self, channel: str) -> Progress:
        [(epoch, head, watermark)] = self._writer.execute(
            "SELECT (SELECT epoch FROM main._checkpoint WHERE channel = $name),"
            " (SELECT seq FROM main._checkpoint WHERE channel = $name),"
            " (SELECT seq FROM main._watermark WHERE channel = $name)",
            {"name": channel},
        ).fetchall()
        return Progress(epoch or "", head or 0, watermark or 0)

    def _finish(self) -> None:
        try:
            for name in self.tables:
                self._fold(name)
        except duckdb.Error:
            logger.exception("projection_final_fold_failed", path=str(self.path))
        finally:
            self._close()

    def _close(self) -> None:
        """Close all connections: DuckDB lets the file go with the last one, after a checkpoint."""
        for reader in tuple(self._readers):
            self._end(reader)
        self._writer.close()
        with self._root_lock:  # a reader that is late may be making its cursor
            self._root.close()

    def _end(self, reader: Reader) -> None:
        """Until it is closed it is one of ours: DuckDB lets nobody close what it hangs from."""
        reader.close()
        self._readers.discard(reader)

    def _recover(self) -> None:
        try:
            self._writer.execute("SELECT 1").fetchall()
        except duckdb.Error:
            logger.warning("projection_reopened", path=str(self.path))
            self._close()
            self._open()

    def _reset(self, channel: str, epoch: str) -> None:
        progress = Progress(epoch)
        with self._transaction() as writer:
            empty(writer, self.tables[channel])
            self._write_checkpoint(channel, progress)
        self._progress[channel] = progress
        self._text_bytes[channel] = 0

    def _append(self, channel: str, batch: Sequence[Sealed]) -> Progress:
        progress = self._progress[channel]
        fresh = [event for event in batch if event.sequence > progress.head]
        if fresh:
            progress = replace(progress, head=fresh[-1].sequence)
            self._text_bytes[channel] += sum(len(event.payload) for event in fresh)
            with self._transaction():
                self._write_history(self.tables[channel], fresh)
                self._write_checkpoint(channel, progress)
            self._progress[channel] = progress
        return progress

    def _fold(self, channel: str) -> Progress:
        progress = self._progress[channel]
        if progress.watermark < progress.head:
            with self._transaction() as writer:
                fold(writer, self.tables[channel], progress.watermark, progress.head)
                progress = replace(progress, watermark=progress.head)
                self._replace("_watermark", channel, progress.watermark)
            self._progress[channel] = progress
        return progress

    def _write_checkpoint(self, channel: str, progress: Progress) -> None:
        self._replace("_checkpoint", channel, progress.epoch, progress.head)

    def _replace(self, book: str, channel: str, *values: str | int) -> None:
        marks = ", ?" * len(values)
        self._writer.execute(f"DELETE FROM main.{book} WHERE channel = ?", [channel])  # noqa: S608 - constants
        self._writer.execute(f"INSERT INTO main.{book} VALUES (?{marks})", [channel, *values])  # noqa: S608 - constants

    def _write_history(self, tables: Tables, batch: Sequence[Sealed]) -> None:
        if len(batch) <= MAX_ROWS_AS_PARAMETERS:
            self._writer.execute(
                tables.insert_history(_PARAMETERS),
                [[event.sequence for event in batch], [event.payload.decode() for event in batch]],
            )
            return
        # Registered by name: replacement scans, which would find the variable, are off.
        self._writer.register(_BATCH, as_arrow(batch))
        try:
            self._writer.execute(tables.insert_history(_BATCH))
        finally:
            self._writer.unregister(_BATCH)

    def _maintain(self) -> None:
        """Checkpoint a WAL that has grown large.

        It is a job of its own, after the batch that made it grow is answered, and in this thread
        because DuckDB would hold the next write up from any other just as long. Readers go on.
        """
        wal = self.path.with_name(f"{self.path.name}.wal")
        if not wal.exists() or wal.stat().st_size < MAX_WAL_BYTES:
            return
        try:
            self._writer.execute("CHECKPOINT")
        except duckdb.Error:
            # If DuckDB did not survive it, the next append fails, and its projector recovers.
            logger.exception("projection_checkpoint_failed", path=str(self.path))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        self._writer.execute("BEGIN")
        try:
            yield self._writer
            self._writer.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        try:
            self._writer.execute("ROLLBACK")
        except duckdb.Error as error:
            # A failed COMMIT has rolled back already; the error that matters is being raised.
            logger.debug("projection_rollback", error=str(error))


def _limit_memory(connection: Connection) -> int:
    """Lower DuckDB's own limit if it is above ours; return what it is then."""
    [(limit,)] = connection.execute(
        "SELECT parse_formatted_bytes(current_setting('memory_limit'))"
    ).fetchall()
    if limit > MEMORY_BYTES:
        connection.execute(f"SET memory_limit = '{MEMORY_BYTES}B'")
    return min(int(limit), MEMORY_BYTES)


async def _in(threads: Executor, job: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, job, *arguments)
