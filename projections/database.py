"""Database: how DuckDB opens its file, with which limits, and transactions that write."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import structlog

from eventhub.cores import half_of_cores
from eventhub.filters.sql import literal

Connection = duckdb.DuckDBPyConnection

MEMORY_BYTES = 4 << 30
"""DuckDB holds at most this much in memory, however large the machine; with less than 5 GiB, its
own limit of 80 % is lower. Near the limit it drops data that is also in the file."""
MAX_WAL_BYTES = 256 << 20
"""A checkpoint of this much takes half a second, and reading it again after a kill 0.7 s; with
DuckDB's own 16 MB, half of the throughput is lost."""

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    # These would let an analyst's query reach more than the tables.
    "enable_external_access": False,
    "python_enable_replacements": False,
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    # A commit must not stop for a checkpoint: the store makes them itself, before this size.
    "checkpoint_threshold": "1GB",
}
logger = structlog.get_logger(__name__)


def open_database(
    path: Path, settings: Mapping[str, str | int] | None = None
) -> tuple[Connection, int]:
    """Open a file, or create it; after that, no query can change a setting.

    Args:
        path: of the file.
        settings: of DuckDB, by name, in place of the usual ones.

    Returns:
        The connection, and how many bytes of memory DuckDB may hold.
    """
    # The other half of the cores is for the event loop, which a replay would delay.
    connection = duckdb.connect(path, config=_SETTINGS | {"threads": half_of_cores()})
    for name, value in (settings or {}).items():
        connection.execute(f"SET GLOBAL {name} = {literal(str(value))}")
    memory_bytes = _limit_memory(connection)
    connection.execute("SET lock_configuration = true")
    return connection, memory_bytes


def _limit_memory(connection: Connection) -> int:
    """Lower DuckDB's own limit if it is above ours; return the limit."""
    [(limit,)] = connection.execute(
        "SELECT parse_formatted_bytes(current_setting('memory_limit'))"
    ).fetchall()
    if limit > MEMORY_BYTES:
        connection.execute(f"SET memory_limit = '{MEMORY_BYTES}B'")
    return min(int(limit), MEMORY_BYTES)


def checkpoint_large_wal(connection: Connection, path: Path) -> None:
    """Checkpoint a WAL that has grown large.

    This is for the thread that writes, because in any other DuckDB would delay the next write just
    as long. Readers go on.
    """
    wal = path.with_name(f"{path.name}.wal")
    if not wal.exists() or wal.stat().st_size < MAX_WAL_BYTES:
        return
    try:
        connection.execute("CHECKPOINT")
    except duckdb.Error:
        # If DuckDB did not survive it, the next append fails, and its projector recovers.
        logger.exception("projection_checkpoint_failed", path=str(path))


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Commit the statements of the block together, or none of them."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


def _roll_back(connection: Connection) -> None:
    try:
        connection.execute("ROLLBACK")
    except duckdb.Error as error:
        # A failed COMMIT has rolled back already; the error that matters is being raised.
        logger.debug("projection_rollback", error=str(error))
