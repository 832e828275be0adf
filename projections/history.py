"""History: a batch of events becomes rows of the history table."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
from pyarrow import compute

from eventhub.event import Sealed
from eventhub.filters.sql import quoted_list
from projections.backlog import size_of
from projections.tables import Tables, as_arrow

MAX_ROWS_AS_PARAMETERS = 100
MAX_BYTES_AS_PARAMETERS = 256 << 10
"""Up to here, parameters are faster than registering an Arrow table (1.2 ms). Above it, to convert
them holds the GIL, and with it the event loop: a millisecond for each megabyte."""

_BATCH = "_batch"
_PARAMETERS = "(SELECT unnest(?) AS sequence, unnest(?) AS payload)"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of another history of the same log, in order."""

    table: pa.Table


Batch = Sequence[Sealed] | Rows
"""Events in order, or what other tables made of them."""


def newer(batch: Batch, sequence: int) -> Batch:
    """Return what comes after a sequence; it may be empty."""
    if isinstance(batch, Rows):
        return Rows(batch.table.filter(compute.field("_seq") > sequence))
    return [event for event in batch if event.sequence > sequence]


def extent(batch: Batch) -> tuple[int, int]:
    """Return the last sequence of a batch, 0 if it is empty, and at most how much text it has."""
    if isinstance(batch, Rows):
        last = compute.max(batch.table["_seq"]).as_py()
        return last or 0, batch.table.nbytes
    return batch[-1].sequence if batch else 0, size_of(batch)


def append_history(connection: duckdb.DuckDBPyConnection, tables: Tables, batch: Batch) -> None:
    """Add a batch to the history of a channel, in the transaction that is open."""
    if isinstance(batch, Rows):
        names = quoted_list(tables.history_names)
        statement = f"INSERT INTO {tables.history} ({names}) SELECT {names} FROM {_BATCH}"  # noqa: S608 - quoted
        _insert(connection, statement, batch.table)
    elif len(batch) <= MAX_ROWS_AS_PARAMETERS and size_of(batch) <= MAX_BYTES_AS_PARAMETERS:
        connection.execute(
            tables.insert_history(_PARAMETERS),
            [[event.sequence for event in batch], [event.payload.decode() for event in batch]],
        )
    else:
        _insert(connection, tables.insert_history(_BATCH), as_arrow(batch))


def _insert(connection: duckdb.DuckDBPyConnection, statement: str, batch: pa.Table) -> None:
    # Registered by name, because replacement scans, which would find the variable, are off.
    connection.register(_BATCH, batch)
    try:
        connection.execute(statement)
    finally:
        connection.unregister(_BATCH)
