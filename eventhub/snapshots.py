"""Snapshots: the rows that a filter matches, as they were at one known sequence.

The gateway reads them, `projections/` makes them; neither imports the other.
"""

from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from eventhub.filters.query import Query

Render = Callable[[list[bytes]], bytes]
"""Makes some rows, each a JSON object, what a reader is sent. It must be pure: it runs in a thread.

It is given at most 1,000 rows, fewer if they are large, so that it does not keep the event loop
from running for longer than a millisecond.
"""


class Snapshot(Protocol):
    """The current rows of a query at `sequence`: with every later event they are today's.

    It is produced once, as fast as it can be, and read by any number of readers.
    """

    sequence: int

    @property
    def size(self) -> int:
        """Bytes that were produced so far."""

    @property
    def completed_at(self) -> float | None:
        """When the last byte was produced, by `time.monotonic`; None before that."""

    def reading(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Iterate over the bytes from the first one on, in pieces of at most 256 KiB.

        A piece may end within a row. A reader may take its time: what it has not read waits in
        memory or in a file, not in DuckDB. But who is slow while others wait for that room is cut,
        also while it waits for its own client in the block.

        Raises:
            Unavailable: the rest cannot be read any more, open another snapshot; `slow_reader`.
        """


class Snapshots(Protocol):
    """Where current rows are read."""

    def read(
        self,
        channel: str,
        query: Query,
        render: Render,
        *,
        sequenced: bool,
        at_least: int,
        client: Hashable = None,
    ) -> AbstractAsyncContextManager[Snapshot]:
        """Open a snapshot. When the context ends it is produced no further, and cannot be read.

        Args:
            channel: whose rows.
            query: which rows and columns; the members of a row are the query's columns, in order.
            render: makes the rows bytes.
            sequenced: rows begin with `_method`, which is POST, and `_seq`: of its last event.
            at_least: the sequence that it must have seen.
            client: on whose account: clients take turns.

        Raises:
            Rejected: `too_costly`.
            Unavailable: the projection did not get to `at_least` in time.
        """
