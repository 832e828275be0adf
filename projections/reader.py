"""Reader: one read-only transaction of the DuckDB file; it ends even if its user is cancelled."""

from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import TypeVar

import duckdb

from eventhub.errors import Unavailable
from eventhub.metrics import INTERRUPTED

Connection = duckdb.DuckDBPyConnection
T = TypeVar("T")
AGAIN_SECONDS = 0.02
"""Between two interruptions: one that comes just before a statement begins has no effect."""


class Reader:
    """One read-only transaction: consistent, and isolated from the writer. Steps run one by one."""

    def __init__(self, root: Connection, root_lock: Lock) -> None:
        """Prepare; the first step begins the transaction.

        Args:
            root: the connection that the transaction gets a cursor of.
            root_lock: held while it does, as DuckDB refuses concurrent calls of one connection.
        """
        self._root = root
        self._root_lock = root_lock
        self._cursor: Connection | None = None
        self._is_closed = False
        self._lock = Lock()

    def run(self, step: Callable[[Connection], T]) -> T:
        """Run a step of the transaction; the first one begins it.

        Raises:
            Unavailable: the reader was closed, or DuckDB failed.
        """
        with self._lock:
            if self._is_closed:
                raise Unavailable("the snapshot was closed")
            try:
                return step(self._begin())
            except duckdb.InterruptException as error:
                INTERRUPTED.inc()
                raise Unavailable("the snapshot was closed") from error
            except duckdb.Error as error:
                raise Unavailable(f"the projection cannot be read: {error}") from error

    def interrupt(self) -> None:
        """Refuse further steps, and interrupt the one that runs. Never blocks."""
        self._is_closed = True
        cursor = self._cursor
        with suppress(duckdb.Error):  # another thread has just closed it
            if cursor is not None:
                cursor.interrupt()

    def close(self) -> None:
        """End the transaction. Blocks until the step that runs is interrupted."""
        self.interrupt()
        while not self._lock.acquire(timeout=AGAIN_SECONDS):
            self.interrupt()
        try:
            if self._cursor is not None:
                self._cursor.close()
                self._cursor = None
        finally:
            self._lock.release()

    def _begin(self) -> Connection:
        if self._cursor is None:
            with self._root_lock:
                self._cursor = self._root.cursor()
            self._cursor.execute("BEGIN TRANSACTION READ ONLY")
        return self._cursor
