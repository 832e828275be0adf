"""Database copy: all tables of a store at one moment, as a DuckDB file that needs no hub.

Everything is read in one transaction, so the copy is consistent while writes go on. Current rows
and history are both as of the watermark, which the tables `_watermark` and `_checkpoint` of the
copy name for each channel: the copy is a projection too, and a hub could go on from it (ADR-55).
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import duckdb

from eventhub.errors import Unavailable
from eventhub.filters.sql import literal, quoted_list
from projections.progress import read_progress, write_checkpoint, write_watermark
from projections.projector import Projector
from projections.store import Progress, Store
from projections.tables import OWN_TABLES, Tables, create

STORAGE_VERSION: Final = "v1.5.0"
"""DuckDB 1.5 and newer open the file."""
WAIT_SECONDS: Final = 10.0
"""The tables must have everything that the log holds within this time."""
RESERVED_BYTES: Final = 256 << 20
"""Left free on the disk, for the log and the tables: a copy must not stop the hub."""
FOLDER: Final = ".copy-"
"""What the names of the folders begin with in which copies are made, beside the store's file."""
_BATCH_ROWS: Final = 200
"""Moved at once: rows may have 1 MB each."""


class DatabaseCopies:
    """Makes copies of a store, one at a time."""

    def __init__(self, store: Store, projectors: Collection[Projector] = ()) -> None:
        """Prepare; copies that a killed process left are removed.

        Args:
            store: what is copied.
            projectors: those that write to it; others may be added to them later.
        """
        self._store = store
        self._projectors = projectors
        self._turn = asyncio.Lock()
        for left in store.path.parent.glob(f"{FOLDER}*"):
            shutil.rmtree(left, ignore_errors=True)

    @asynccontextmanager
    async def copy(self) -> AsyncIterator[Path]:
        """Copy everything that was acknowledged before; the file is gone after the block.

        Raises:
            Unavailable: `busy`: another copy is being made or read; else the tables are behind or
                cannot be read, or the disk has no room.
        """
        if self._turn.locked():
            raise Unavailable("another copy of the tables is being made: try again", code="busy")
        async with self._turn:
            for projector in tuple(self._projectors):
                await projector.catch_up(WAIT_SECONDS)
            folder = await asyncio.to_thread(self._folder)
            try:
                path = folder / "snapshot.duckdb"
                async with self._store.reader() as reader:
                    await self._store.read(reader, lambda source: self._fill(source, path))
                yield path
            finally:
                # Nobody waits for it: to remove a large file takes a while.
                _ = asyncio.get_running_loop().run_in_executor(None, _remove, folder)

    def _folder(self) -> Path:
        place = self._store.path
        size = sum(each.stat().st_size for each in place.parent.glob(f"{place.name}*"))
        if shutil.disk_usage(place.parent).free < size + RESERVED_BYTES:
            raise Unavailable(f"{place.parent} has no room for a copy of {size >> 20} MiB")
        return Path(mkdtemp(prefix=FOLDER, dir=place.parent))

    def _fill(self, source: duckdb.DuckDBPyConnection, path: Path) -> None:
        copy_tables(source, self._store.tables.values(), path)


def copy_tables(
    source: duckdb.DuckDBPyConnection, all_tables: Iterable[Tables], path: Path
) -> None:
    """Copy tables, as the open transaction of a connection sees them, to a new file.

    Raises:
        duckdb.Error: they cannot be read, or the file not be written.
    """
    with duckdb.connect(config={"threads": 1}) as copy:
        copy.execute(f"ATTACH {literal(str(path))} AS copy (STORAGE_VERSION '{STORAGE_VERSION}')")
        copy.execute("USE copy")
        copy.execute(OWN_TABLES)
        for tables in all_tables:
            _copy(source, copy, tables)
        copy.execute("CHECKPOINT copy")


def _copy(
    source: duckdb.DuckDBPyConnection, copy: duckdb.DuckDBPyConnection, tables: Tables
) -> None:
    channel = tables.channel.name
    progress = read_progress(source, channel)
    at = Progress(progress.epoch, progress.watermark, progress.watermark)
    create(copy, tables)
    _move(source, copy, tables.current, tables.current_names)
    _move(source, copy, tables.history, tables.history_names, f"WHERE _seq <= {at.head}")
    write_checkpoint(copy, channel, at)
    write_watermark(copy, channel, at)


def _move(
    source: duckdb.DuckDBPyConnection,
    copy: duckdb.DuckDBPyConnection,
    table: str,
    names: Iterable[str],
    where: str = "",
) -> None:
    columns = quoted_list(names)
    rows = source.sql(f"SELECT {columns} FROM {table} {where}").to_arrow_reader(_BATCH_ROWS)  # noqa: S608 - quoted
    copy.register("moved_rows", rows)
    copy.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM moved_rows")  # noqa: S608 - quoted
    copy.unregister("moved_rows")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
