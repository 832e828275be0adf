"""Snapshots: the rows that a filter matches, as they were at one known sequence.

The gateway reads them, `projections/` makes them; neither imports the other.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from eventhub.filters import Query


class Snapshot(Protocol):
    """The current rows of a query at `sequence`: with every later event they are today's."""

    sequence: int

    def chunks(self) -> AsyncIterator[list[tuple[int, str]]]:
        """Iterate once over the rows in order: `(sequence of the row's last event, JSON object)`.

        A chunk holds at most 1,000 rows, fewer if they are large, and is made as it is asked for:
        a reader may take its time. The members of an object are the query's columns, in order.

        Raises:
            Unavailable: the rest cannot be read any more; open another snapshot.
        """


class Snapshots(Protocol):
    """Where current rows are read."""

    def read(
        self, channel: str, query: Query, *, at_least: int
    ) -> AbstractAsyncContextManager[Snapshot]:
        """Open a snapshot at `at_least` or later.

        Raises:
            Unavailable: the projection did not get to `at_least` in time.
        """
