"""The progress of a channel is read back as it was written, whatever other channels do."""

import duckdb
import pytest

from projections.progress import (
    Progress,
    read_all_progress,
    read_progress,
    read_watermark,
    write_checkpoint,
    write_checkpoints,
    write_watermark,
)
from projections.tables import OWN_TABLES


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    made.execute(OWN_TABLES)
    return made


def test_a_new_channel_starts_at_zero(connection: duckdb.DuckDBPyConnection) -> None:
    assert read_progress(connection, "chat") == Progress()
    assert read_watermark(connection, "chat") == 0


def test_checkpoint_and_watermark_are_written_separately(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    write_checkpoint(connection, "other", Progress("e", 99, 99))
    for head in (5, 9):
        write_checkpoint(connection, "chat", Progress("e1", head, head))
    assert read_progress(connection, "chat") == Progress("e1", 9, 0)
    for watermark in (3, 7):
        write_watermark(connection, "chat", Progress("e1", 9, watermark))
    assert read_progress(connection, "chat") == Progress("e1", 9, 7)
    assert read_watermark(connection, "chat") == 7
    rows = connection.execute("SELECT channel, seq FROM _checkpoint ORDER BY seq").fetchall()
    assert rows == [("chat", 9), ("other", 99)]


def test_all_channels_are_read_at_once_as_each_is_alone(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for first in ("old", "e1"):  # each replaces those before it
        write_checkpoints(connection, {"a": Progress(first, 9, 7), "b": Progress("e2")})
    write_watermark(connection, "a", Progress("e1", 9, 7))
    found = read_all_progress(connection)
    assert found == {name: read_progress(connection, name) for name in "ab"}
    assert found["a"] == Progress("e1", 9, 7)
