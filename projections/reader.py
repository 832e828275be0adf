"""Reader: one read-only transaction of the DuckDB file, ended whatever becomes of its borrower."""

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
"""Between two interruptions of a step: one that comes just before a statement begins is lost."""


class Reader:
    """One read-only transaction: consistent, and isolated from the writer. One step at a time."""

    def __init__(self, root: Connection, root_lock: Lock) -> None:
        """Get ready.

        Args:
            root: whose cursor the transaction is.
            root_lock: held for that: DuckDB refuses two calls of one connection at a time.
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
                return step(self._begun())
            except duckdb.InterruptException as error:
                INTERRUPTED.inc()
                raise Unavailable("the snapshot was closed") from error
            except duckdb.Error as error:
                raise Unavailable(f"the projection cannot be read: {error}") from error

    def interrupt(self) -> None:
        """Let no further step begin, and interrupt the one that runs. Never blocks."""
        self._is_closed = True
        cursor = self._cursor
        with suppress(duckdb.Error):  # closed by another thread in this moment
            if cursor is not None:
                cursor.interrupt()

    def close(self) -> None:
        """End the transaction, as soon as the step that runs is interrupted: it blocks."""
        self.interrupt()
        while not self._lock.acquire(timeout=AGAIN_SECONDS):
            self.interrupt()
        try:
            if self._cursor is not None:
                self._cursor.close()
                self._cursor = None
        finally:
            self._lock.release()

    def _begun(self) -> Connection:
        if self._cursor is None:
            with self._root_lock:
                self._cursor = self._root.cursor()
            self._cursor.execute("BEGIN TRANSACTION READ ONLY")
        return self._cursor
