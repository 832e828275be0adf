"""Of a batch of events, the last one of each row decides what is written."""

import pytest
import sqlalchemy as sa

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from projections.mirror_changes import CHUNK_IDS, Folded, RowWriter
from projections.mirror_values import Values
from tests.projecting import Change, history

CHANNEL = Channel("simple", Columns([Column("body"), Column("votes", Kind.INTEGER)]))
TABLE = sa.table("simple", *map(sa.column, CHANNEL.columns.names))


def folded(*changes: Change, after: int = 0) -> Folded:
    """Return what the changes after some others do."""
    return Folded(history(CHANNEL, changes)[after:])


def test_rows_that_were_made_are_inserted_in_their_order() -> None:
    found = folded(("POST", "b", {"votes": 1}), ("POST", "a", {}), ("PUT", "b", {"votes": 2}))
    assert list(found.made) == ["b", "a"]
    assert found.made["b"]["votes"] == 2
    assert found.changed == {}


def test_a_row_of_before_is_changed_in_its_place() -> None:
    found = folded(("POST", "a", {"votes": 1}), ("PUT", "a", {"votes": 2}), after=1)
    assert (found.made, found.renewed) == ({}, set())
    assert found.changed["a"]["votes"] == 2


@pytest.mark.parametrize("after", [0, 1])
def test_a_row_that_is_deleted_in_the_end_is_not_written(after: int) -> None:
    found = folded(("POST", "a", {}), ("PUT", "a", {"votes": 1}), ("DELETE", "a", {}), after=after)
    assert (found.made, found.changed, found.renewed) == ({}, {}, {"a"})


def test_a_row_that_is_made_again_is_a_new_one() -> None:
    changes: list[Change] = [("POST", "a", {"votes": 1}), ("POST", "b", {}), ("DELETE", "a", {})]
    found = folded(*changes, ("POST", "a", {"votes": 9}), after=1)
    assert list(found.made) == ["b", "a"]
    assert found.made["a"]["votes"] == 9
    assert found.renewed == {"a", "b"}


@pytest.fixture
def connection() -> sa.Connection:
    """A table in SQLite with more rows than one statement deletes."""
    connection = sa.create_engine("sqlite://").connect()
    types = {"votes": sa.BigInteger}
    columns = [sa.Column(name, types.get(name, sa.Text)) for name in CHANNEL.columns.names]
    sa.Table("simple", sa.MetaData(), *columns).create(connection)
    rows = [{"id": f"r{n}", "votes": n} for n in range(CHUNK_IDS + 2)]
    connection.execute(sa.insert(TABLE), rows)
    return connection


def rows_of(connection: sa.Connection) -> list[tuple[str, int]]:
    return [(row.id, row.votes) for row in connection.execute(sa.select(TABLE.c.id, TABLE.c.votes))]


def write(connection: sa.Connection, found: Folded) -> None:
    values = Values(CHANNEL.columns, "sqlite")
    RowWriter(TABLE, values, connection.dialect).write(connection, found)


def test_rows_are_changed_deleted_and_added(connection: sa.Connection) -> None:
    posts: list[Change] = [("POST", f"r{n}", {"votes": n}) for n in range(CHUNK_IDS + 2)]
    deletes: list[Change] = [("DELETE", f"r{n}", {}) for n in range(CHUNK_IDS + 1)]
    last: list[Change] = [("PUT", f"r{CHUNK_IDS + 1}", {"votes": -1}), ("POST", "new", {})]
    write(connection, folded(*posts, *deletes, *last, after=len(posts)))
    assert rows_of(connection) == [(f"r{CHUNK_IDS + 1}", -1), ("new", None)]


def test_a_change_of_a_row_that_is_not_there_makes_it(connection: sa.Connection) -> None:
    connection.execute(sa.delete(TABLE))
    write(connection, folded(("POST", "a", {"votes": 1}), ("PUT", "a", {"votes": 2}), after=1))
    assert rows_of(connection) == [("a", 2)]
