"""History: a batch of events becomes rows of the history table."""

from collections.abc import Sequence

import duckdb

from eventhub.event import Sealed
from projections.tables import Tables, as_arrow

MAX_ROWS_AS_PARAMETERS = 100
MAX_BYTES_AS_PARAMETERS = 256 << 10
"""Up to here, parameters are faster than registering an Arrow table (1.2 ms). Above it, to convert
them holds the GIL, and with it the event loop: a millisecond for each megabyte."""

_BATCH = "_batch"
_PARAMETERS = "(SELECT unnest(?) AS sequence, unnest(?) AS payload)"


def append_history(
    connection: duckdb.DuckDBPyConnection, tables: Tables, batch: Sequence[Sealed]
) -> None:
    """Add events to the history of a channel in their order, in the transaction that is open."""
    size = sum(len(event.payload) for event in batch)
    if len(batch) <= MAX_ROWS_AS_PARAMETERS and size <= MAX_BYTES_AS_PARAMETERS:
        connection.execute(
            tables.insert_history(_PARAMETERS),
            [[event.sequence for event in batch], [event.payload.decode() for event in batch]],
        )
        return
    # Registered by name, because replacement scans, which would find the variable, are off.
    connection.register(_BATCH, as_arrow(batch))
    try:
        connection.execute(tables.insert_history(_BATCH))
    finally:
        connection.unregister(_BATCH)
