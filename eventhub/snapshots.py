"""Snapshots: the rows that a filter matches, as they were at one known sequence.

The gateway reads snapshots and `projections/` makes them; neither imports the other.
"""

from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

from eventhub.audit.history import Page
from eventhub.columns import Column
from eventhub.filters.query import Query

Render = Callable[[list[bytes]], bytes]
"""Renders rows, each a JSON object, as readers receive them. It must be pure: it runs in a thread.

It gets at most 1,000 rows, or fewer large ones, so that it holds the interpreter, and with it the
event loop, for no more than a millisecond.
"""
PART_BYTES: Final = 256 << 10
"""Read at once at most: the memory of one reader, in addition to that of its socket."""


class RowHead(Enum):
    """What precedes the columns of a row."""

    NONE = "none"
    SEQUENCED = "sequenced"
    """`_method`, always POST, and `_seq`, the sequence of the row's last event."""
    PLACED = "placed"
    """`_seq`, and `_created`, the sequence of the event that created the row."""


class Snapshot(Protocol):
    """The rows of a query at `sequence`; with every later event they are the current rows.

    A snapshot is produced once, as fast as possible, and has any number of readers.
    """

    sequence: int

    @property
    def size(self) -> int:
        """Bytes produced so far."""

    @property
    def completed_at(self) -> float | None:
        """Time of the last byte, by `time.monotonic`; None before that."""

    def reading(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Iterate over all bytes, in pieces of at most `PART_BYTES`; a shorter one ends with a row.

        A reader may be slow: bytes that it has not read wait in memory or in a file, not in DuckDB.
        But a slow reader is cut off if others wait for that space, even while the block waits for
        its own client.

        Raises:
            Unavailable: the rest cannot be read any more, and a new snapshot is necessary;
                `slow_reader`: this reader was cut off.
        """


class Copies(Protocol):
    """Where all tables are copied to a file of their own."""

    def copy(self) -> AbstractAsyncContextManager[Path]:
        """Copy everything that was acknowledged before; the file is gone after the block.

        Raises:
            Unavailable: it cannot be copied now; `busy`: another copy is being made or read.
        """


class Recoder(Protocol):
    """Makes of rows a file in another format, bit by bit. It computes: call it in a thread."""

    def feed(self, lines: bytes) -> bytes:
        """Take some bytes of rows, a JSON object a line; return the bytes that are final so far."""

    def finish(self) -> bytes:
        """Return the end of the file, once all rows were taken."""


Recode = Callable[[Sequence[Column]], Recoder]
"""Begins a file of rows with some columns, in their order."""


@dataclass(frozen=True, slots=True)
class TableFiles:
    """What makes files of tables."""

    recoders: Mapping[str, Recode] = field(default_factory=dict)
    """By the value of `_format`; `arrow_file` makes a file that may be read in any order."""
    copies: Copies | None = None


class Snapshots(Protocol):
    """The source of rows, and of their past."""

    def sequence_of(self, channel: str) -> int:
        """Return the sequence that a snapshot has at least that is opened now, without waiting."""

    def read(
        self,
        channel: str,
        query: Query,
        render: Render,
        *,
        row_head: RowHead,
        at_least: int,
        client: Hashable = None,
    ) -> AbstractAsyncContextManager[Snapshot]:
        """Open a snapshot. The end of the context stops its production and its readers.

        Args:
            channel: the name of the channel.
            query: selects rows and columns; the members of a row are its columns, in order.
            render: turns rows into bytes.
            row_head: what precedes the columns of a row.
            at_least: the lowest `sequence` that the snapshot may have.
            client: the client that it is for: clients take turns.

        Raises:
            Rejected: `too_costly`: the query would take too long.
            Unavailable: the projection did not reach `at_least` in time.
        """

    async def versions(
        self, channel: str, row_id: str, *, after: int, up_to: int, client: Hashable = None
    ) -> Page:
        """Return the versions of a row after a sequence, up to another.

        Args:
            channel: the name of the channel.
            row_id: of the row, which need not exist.
            after: 0, or the sequence of the last version of the page before.
            up_to: the last sequence that counts; the tables reach it first.
            client: the client that it is for: clients take turns.

        Raises:
            Unavailable: the projection did not reach `up_to` in time, or cannot be read;
                `too_many_reads`.
        """
