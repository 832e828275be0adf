"""Progress: how far the tables of a channel hold its log, stored in the database itself.

Rows are replaced by DELETE and INSERT, never by UPDATE: one updated row keeps the WAL from being
checkpointed for as long as any older reader is open.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a channel is projected, in one life of its stream."""

    epoch: str = ""
    """Of the stream; empty before the first event."""
    head: int = 0
    """Last sequence in the history: the checkpoint."""
    watermark: int = 0
    """Last sequence in the current table."""


def read_progress(connection: duckdb.DuckDBPyConnection, channel: str) -> Progress:
    """Return how far the tables of a channel are, by what the connection's transaction holds."""
    [(epoch, head, watermark)] = connection.execute(
        "SELECT (SELECT any_value(epoch) FROM main._checkpoint WHERE channel = $name),"
        " (SELECT max(seq) FROM main._checkpoint WHERE channel = $name),"
        " (SELECT max(seq) FROM main._watermark WHERE channel = $name)",
        {"name": channel},
    ).fetchall()
    return Progress(epoch or "", head or 0, watermark or 0)


def read_all_progress(connection: duckdb.DuckDBPyConnection) -> dict[str, Progress]:
    """Return the same for all channels that have a checkpoint, by name."""
    found = connection.execute(
        "SELECT channel, any_value(epoch), max(_checkpoint.seq), coalesce(max(_watermark.seq), 0)"
        " FROM main._checkpoint LEFT JOIN main._watermark USING (channel) GROUP BY channel"
    ).fetchall()
    return {channel: Progress(*at) for channel, *at in found}


def read_watermark(connection: duckdb.DuckDBPyConnection, channel: str) -> int:
    """Return the watermark alone, which is cheaper: every snapshot reads it."""
    found = connection.execute(
        "SELECT seq FROM main._watermark WHERE channel = ?", [channel]
    ).fetchall()
    return int(found[0][0]) if found else 0


def write_checkpoint(
    connection: duckdb.DuckDBPyConnection, channel: str, progress: Progress
) -> None:
    """Store the epoch and the head, in the transaction that is open."""
    connection.execute("DELETE FROM main._checkpoint WHERE channel = ?", [channel])
    connection.execute(
        "INSERT INTO main._checkpoint VALUES (?, ?, ?)", [channel, progress.epoch, progress.head]
    )


def write_checkpoints(
    connection: duckdb.DuckDBPyConnection, progress: Mapping[str, Progress]
) -> None:
    """Do as `write_checkpoint` for channels by name, with two statements for all of them."""
    connection.execute(
        "DELETE FROM main._checkpoint WHERE channel IN (SELECT unnest(?))", [list(progress)]
    )
    connection.execute(
        "INSERT INTO main._checkpoint SELECT unnest(?), unnest(?), unnest(?)",
        [
            list(progress),
            [each.epoch for each in progress.values()],
            [each.head for each in progress.values()],
        ],
    )


def write_watermark(
    connection: duckdb.DuckDBPyConnection, channel: str, progress: Progress
) -> None:
    """Store the watermark, in the transaction that is open."""
    connection.execute("DELETE FROM main._watermark WHERE channel = ?", [channel])
    connection.execute("INSERT INTO main._watermark VALUES (?, ?)", [channel, progress.watermark])
