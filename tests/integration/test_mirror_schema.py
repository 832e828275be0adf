"""A table has the columns of its channel, or is left as it is and named."""

import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Digits, Kind
from eventhub.memory import MemoryStream
from projections.mirror_engine import MirrorFailed
from tests.databases import Database
from tests.mariadb import MariaDB
from tests.mirroring import CHANGES, CHANNEL, ROWS, SELECT, mirror_all, opened, proved, written
from tests.projecting import Change, history, write


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        ("id TEXT, body TEXT, extra TEXT", "extra is not among `columns:`"),
        ("body TEXT", "id is missing"),
        ("id TEXT, body INTEGER", "body is INTEGER, and must be "),
        ("id TEXT, votes TEXT", "votes is TEXT, and must be "),
    ],
)
def test_a_table_with_other_columns_is_refused_and_unchanged(
    database: Database, made: str, fault: str
) -> None:
    database.execute(f"CREATE TABLE simple ({made})")
    table = opened(database)
    with pytest.raises(MirrorFailed) as caught:
        table.take_up("e1")
    assert caught.value.code == "columns"
    assert fault in caught.value.message.replace("INTEGER(11)", "INTEGER")  # so MariaDB has it
    assert database.fetch("SELECT * FROM simple") == []
    table.close()


WIDE = [
    Column("body"),
    Column("votes", Kind.INTEGER),
    Column("share", Kind.REAL),
    Column("price", Kind.DECIMAL, digits=Digits(20, 4)),
]


def test_narrow_columns_of_postgresql_are_widened(postgres: Database) -> None:
    """An older system made them so: its INTEGER has 32 bits, ours 64."""
    narrow = "body VARCHAR(20), votes INTEGER, share REAL, price NUMERIC(10, 2)"
    postgres.execute(f"CREATE TABLE simple (id VARCHAR(50) PRIMARY KEY, {narrow})")
    postgres.execute("INSERT INTO simple VALUES ('old', 'x', 1, 0.1, 1.5)")
    channel = Channel("simple", Columns(WIDE))
    row = {"body": "x" * 100, "votes": 2**40, "share": 0.1, "price": f"{10**15}.1234"}
    table = opened(postgres, channel)
    table.take_over("e1", keeps_copy=False)
    table.apply("e1", 0, history(channel, [("POST", "i" * 200, row)]))
    with table.listing() as (_, chunks):
        rows = {found["id"]: found for chunk in chunks for found in chunk}
    assert rows["i" * 200] == {**row, "id": "i" * 200, "user": None, "timestamp": None}
    assert rows["old"]["price"] == "1.5000"
    table.close()


OLD_MARIADB = """CREATE TABLE simple (
    id VARCHAR(50) PRIMARY KEY, body VARCHAR(20), votes INT UNSIGNED, share FLOAT,
    price DECIMAL(10, 2), seen TIMESTAMP NULL) CHARACTER SET latin1"""


def test_narrow_columns_of_mariadb_are_widened(mariadb: MariaDB) -> None:
    """Its usual types have less: of a text 64 KiB in one character set, of a time whole seconds."""
    mariadb.execute(OLD_MARIADB)
    mariadb.execute(
        "SET time_zone = '+00:00';"
        "INSERT INTO simple VALUES ('old', 'é', 1, 0.5, 1.5, '2020-01-02 03:04:05')"
    )
    channel = Channel("simple", Columns([*WIDE, Column("seen", Kind.TIMESTAMP)]))
    row = {"body": "ünï🙂" * 20_000, "votes": -(2**40), "share": 0.1, "price": f"{10**15}.1234"}
    row |= {"seen": "1605-11-05T00:00:00.000001"}
    table = opened(mariadb, channel)
    table.take_over("e1", keeps_copy=False)
    table.apply("e1", 0, history(channel, [("POST", "i" * 200, row)]))
    with table.listing() as (_, chunks):
        rows = {found["id"]: found for chunk in chunks for found in chunk}
    assert rows["i" * 200] == {**row, "id": "i" * 200, "user": None, "timestamp": None}
    old = {"body": "é", "votes": 1, "share": 0.5, "price": "1.5000", "seen": "2020-01-02T03:04:05"}
    assert rows["old"] == {**old, "id": "old", "user": None, "timestamp": None}
    table.close()


def test_a_table_of_mariadb_without_transactions_is_refused(mariadb: MariaDB) -> None:
    mariadb.execute("CREATE TABLE simple (id VARCHAR(200), body TEXT) ENGINE = MyISAM")
    table = opened(mariadb)
    with pytest.raises(MirrorFailed, match="run ALTER TABLE `simple` ENGINE = InnoDB") as caught:
        table.take_up("e1")
    assert caught.value.code == "columns"
    table.close()


async def test_a_column_that_was_dropped_is_written_again(database: Database) -> None:
    """Where a change of columns is no transaction, a kill may come after the first half of it."""
    stream = await written(CHANNEL, *CHANGES)
    await mirror_all(database, stream)
    database.execute("ALTER TABLE simple DROP COLUMN votes")
    await mirror_all(database, stream)
    assert (await proved(database, stream))[0].is_equal


def test_a_table_is_copied_beside_older_copies(database: Database) -> None:
    database.execute("CREATE TABLE simple (id VARCHAR(200), body TEXT)")
    database.execute("CREATE TABLE simple_before_import (x TEXT)")
    database.execute("INSERT INTO simple VALUES ('a', 'b')")
    table = opened(database)
    table.take_over("e1", keeps_copy=True)
    assert database.fetch("SELECT * FROM simple_before_import_2") == [("a", "b")]
    assert database.fetch(SELECT) == []
    table.close()


def test_an_empty_table_of_another_program_gets_what_it_lacks(database: Database) -> None:
    database.execute("CREATE TABLE simple (id TEXT, body TEXT)")
    table = opened(database)
    assert table.take_up("e1") == 0
    table.apply("e1", 0, history(CHANNEL, CHANGES))
    assert sorted(database.fetch(SELECT)) == ROWS
    table.close()


@pytest.mark.parametrize(
    "columns",
    [
        [Column("body"), Column("votes", Kind.INTEGER), Column("more", Kind.BOOLEAN)],
        [Column("body"), Column("votes", Kind.INTEGER), Column("more", default="some")],
        [Column("body")],
        [Column("body"), Column("votes")],
        [Column("body"), Column("votes", Kind.INTEGER, default=7)],
        [Column("body"), Column("votes", Kind.DECIMAL, digits=Digits(30, 2))],
    ],
    ids=["added", "default", "removed", "type", "new default", "decimal"],
)
async def test_changed_columns_come_to_what_the_log_is_lifted_to(
    database: Database, columns: list[Column]
) -> None:
    changes: list[Change] = [("POST", "a", {"body": "x", "votes": 3}), ("POST", "b", {})]
    events = history(CHANNEL, changes)
    table = opened(database)
    table.apply("e1", table.take_up("e1"), events)
    table.close()
    later = MemoryStream(Channel("simple", Columns(columns)))
    later.epoch = "e1"
    await write(later, events)
    await mirror_all(database, later)
    report, found = await proved(database, later)
    assert (report.rows, found) == (2, [])
