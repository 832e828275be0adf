"""A table has the columns of its channel, or is left as it is and named."""

import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Digits, Kind
from eventhub.memory import MemoryStream
from projections.mirror_engine import MirrorFailed
from tests.databases import Database
from tests.mirroring import CHANGES, CHANNEL, ROWS, SELECT, mirror_all, opened, proved
from tests.projecting import Change, history, write


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        ("id TEXT, body TEXT, extra TEXT", "extra is not among `columns:`"),
        ("body TEXT", "id is missing"),
        ("id TEXT, body INTEGER", "body is INTEGER(), and must be TEXT"),
        ("id TEXT, votes TEXT", "votes is TEXT(), and must be "),
    ],
)
def test_a_table_with_other_columns_is_refused_and_unchanged(
    database: Database, made: str, fault: str
) -> None:
    database.execute(f"CREATE TABLE simple ({made})")
    table = opened(database)
    with pytest.raises(MirrorFailed) as caught:
        table.take_up("e1", 0)
    assert caught.value.code == "columns"
    assert fault in caught.value.message
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


def test_an_empty_table_of_another_program_gets_what_it_lacks(database: Database) -> None:
    database.execute("CREATE TABLE simple (id TEXT, body TEXT)")
    table = opened(database)
    assert table.take_up("e1", 0) == 0
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
    table.apply("e1", table.take_up("e1", 0), events)
    table.close()
    later = MemoryStream(Channel("simple", Columns(columns)))
    later.epoch = "e1"
    await write(later, events)
    await mirror_all(database, later)
    report, found = await proved(database, later)
    assert (report.rows, found) == (2, [])
