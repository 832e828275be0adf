"""A reader is one consistent transaction, which ends at once when it is closed."""

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Lock, Thread

import duckdb
import pytest

from eventhub.errors import Unavailable
from projections.reader import Connection, Reader

ENDLESS = (
    "SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE a.range % 7 = b.range"
)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Connection]:
    with duckdb.connect(tmp_path / "p") as made:
        made.execute("CREATE TABLE t AS SELECT 1 AS a")
        yield made


def count(connection: Connection) -> int:
    [(rows,)] = connection.execute("SELECT count(*) FROM t").fetchall()
    return int(rows)


def test_all_steps_see_the_rows_of_the_first(root: Connection) -> None:
    reader = Reader(root, Lock())
    assert reader.run(count) == 1
    root.execute("INSERT INTO t VALUES (2)")
    assert reader.run(count) == 1
    reader.close()
    later = Reader(root, Lock())
    assert later.run(count) == 2
    later.close()


def test_a_reader_cannot_write(root: Connection) -> None:
    reader = Reader(root, Lock())
    with pytest.raises(Unavailable, match="cannot be read"):
        reader.run(lambda connection: connection.execute("DELETE FROM t"))
    reader.close()


def test_a_close_interrupts_the_step_that_runs(root: Connection) -> None:
    reader = Reader(root, Lock())
    started, errors = Event(), list[str]()

    def step(connection: Connection) -> None:
        started.set()
        connection.execute(ENDLESS).fetchall()

    def run() -> None:
        try:
            reader.run(step)
        except Unavailable as error:
            errors.append(error.message)

    thread = Thread(target=run)
    thread.start()
    assert started.wait(10)
    before = time.monotonic()
    reader.close()
    thread.join(10)
    assert time.monotonic() - before < 10
    assert errors == ["the snapshot was closed"]
    with pytest.raises(Unavailable, match="was closed"):
        reader.run(count)
