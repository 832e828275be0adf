"""The mirror: what the log says is what another program reads, in SQLite and in PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Digits, Kind
from eventhub.memory import MemoryStream
from projections.mirror import Mirror
from projections.mirror_engine import MirrorFailed
from projections.mirror_table import MirrorTable, Standing
from projections.mirror_verify import verify_mirror
from projections.verify import Difference, Report
from tests.databases import Database, Sqlite
from tests.projecting import Change, history, write

CHANNEL = Channel("simple", Columns([Column("body"), Column("votes", Kind.INTEGER)]))
SELECT = "SELECT id, body, votes FROM simple"
CHANGES: list[Change] = [
    ("POST", "a", {"body": "first", "votes": 2**40}),
    ("POST", "b", {"body": "second"}),
    ("POST", "c", {"body": None, "votes": -1}),
    ("PUT", "a", {"body": "changed"}),
    ("DELETE", "b", {}),
    ("POST", "d", {"body": "ünï"}),
]
ROWS = [("a", "changed", 2**40), ("c", None, -1), ("d", "ünï", None)]


async def written(channel: Channel, *changes: Change) -> MemoryStream:
    stream = MemoryStream(channel)
    await write(stream, history(channel, changes))
    return stream


def opened(database: Database, channel: Channel = CHANNEL) -> MirrorTable:
    return MirrorTable(channel, database.url)


@asynccontextmanager
async def mirrored(database: Database, stream: MemoryStream) -> AsyncIterator[Mirror]:
    """Run a mirror for the length of a block."""
    mirror = Mirror(opened(database, stream.channel), stream)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(mirror.run())
        yield mirror
        task.cancel()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def mirror_all(database: Database, stream: MemoryStream) -> None:
    async with mirrored(database, stream) as mirror:
        await until(lambda: mirror.head == stream.length)


async def proved(database: Database, stream: MemoryStream) -> tuple[Report, list[Difference]]:
    table, found = opened(database, stream.channel), list[Difference]()
    report = await verify_mirror(table, stream, found.append, lambda _reached, _last: None)
    table.close()
    return report, found


async def test_another_program_reads_the_current_rows_while_it_runs(database: Database) -> None:
    stream = await written(CHANNEL, *CHANGES[:3])
    async with mirrored(database, stream) as mirror:
        await until(lambda: mirror.head == 3)
        assert len(database.fetch(SELECT)) == 3
        await write(stream, history(CHANNEL, CHANGES)[3:])
        await until(lambda: mirror.head == 6)
        assert sorted(database.fetch(SELECT)) == ROWS
        assert (mirror.behind, mirror.note, mirror.failure) == (0, "", None)
    report, found = await proved(database, stream)
    assert (report.is_equal, report.rows, report.events, found) == (True, 3, 6, [])


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_batches_cut_anywhere_come_to_the_same_rows(database: Database, size: int) -> None:
    events, table = history(CHANNEL, CHANGES), opened(database)
    head = table.take_up("e1", 0)
    for start in range(0, len(events), size):
        head = table.apply("e1", head, events[start : start + size])
    assert table.take_up("e1", 6) == head == 6
    assert sorted(database.fetch(SELECT)) == ROWS
    table.close()


def test_in_sqlite_rows_stay_in_the_order_in_which_they_were_made(tmp_path: Path) -> None:
    """Programs that read without ORDER BY rely on it. PostgreSQL promises no such order."""
    database = Sqlite(tmp_path / "messages.db")
    table = opened(database)
    events = history(CHANNEL, [*CHANGES, ("PUT", "c", {"votes": 5}), ("PUT", "a", {"votes": 0})])
    table.apply("e1", table.take_up("e1", 0), events[:3])
    table.apply("e1", 3, events[3:])
    assert [row[0] for row in database.fetch(SELECT)] == ["a", "c", "d"]
    table.close()


def test_a_batch_that_was_applied_is_refused_and_changes_nothing(database: Database) -> None:
    events, table = history(CHANNEL, CHANGES), opened(database)
    table.apply("e1", table.take_up("e1", 0), events)
    with pytest.raises(MirrorFailed, match="not at event 0 any more") as caught:
        table.apply("e1", 0, events)
    assert caught.value.code == "moved"
    assert sorted(database.fetch(SELECT)) == ROWS
    table.close()


def test_a_batch_that_fails_halfway_leaves_rows_and_checkpoint(database: Database) -> None:
    events, table = history(CHANNEL, CHANGES), opened(database)
    table.apply("e1", table.take_up("e1", 0), events[:2])
    database.execute("CREATE UNIQUE INDEX one_of_each ON simple (votes)")
    doubled = history(CHANNEL, [*CHANGES[:2], ("POST", "x", {"votes": 2**40})])
    with pytest.raises(MirrorFailed) as caught:
        table.apply("e1", 2, doubled[2:])
    assert caught.value.code == "refused"
    assert table.take_up("e1", 6) == 2
    assert len(database.fetch(SELECT)) == 2
    table.close()


async def test_a_row_whose_post_is_missing_from_the_log_is_made_by_its_put(
    database: Database,
) -> None:
    events, table = history(CHANNEL, CHANGES), opened(database)
    table.apply("e1", table.take_up("e1", 0), events[1:])
    assert sorted(database.fetch(SELECT)) == ROWS
    table.close()


async def test_differences_are_named(database: Database) -> None:
    stream = await written(CHANNEL, *CHANGES, ("POST", "e", {}))
    await mirror_all(database, stream)
    database.execute("UPDATE simple SET body = 'forged' WHERE id = 'a'")
    database.execute("DELETE FROM simple WHERE id = 'c'")
    database.execute("INSERT INTO simple (id, votes) VALUES ('x', 1)")
    report, found = await proved(database, stream)
    assert report.different == len(found) == 3
    assert [(one.id, one.column, one.log, one.held, one.what) for one in found] == [
        ("a", "body", "changed", "forged", "differs"),
        ("x", None, None, None, "is in the table, not in the log"),
        ("c", None, None, None, "is missing"),
    ]
    mirror = Mirror(opened(database), stream)
    assert await mirror.rebuild(lambda _reached, _last: None) == 7
    mirror.close()
    assert (await proved(database, stream))[0].is_equal


async def test_it_goes_on_where_it_was_and_begins_again_after_a_log_was_restored(
    database: Database,
) -> None:
    stream = await written(CHANNEL, *CHANGES)
    await mirror_all(database, stream)
    table = opened(database)
    assert table.standing() == Standing(stream.epoch, 6, True)
    assert table.take_up(stream.epoch, 6) == 6
    assert table.take_up(stream.epoch, 5) == 0
    assert database.fetch(SELECT) == []
    table.close()


async def test_a_table_that_was_dropped_is_made_again(database: Database) -> None:
    stream = await written(CHANNEL, *CHANGES)
    await mirror_all(database, stream)
    database.execute("DROP TABLE simple")
    await mirror_all(database, stream)
    assert (await proved(database, stream))[0].is_equal


async def test_rows_of_another_log_are_left_alone_and_reported(database: Database) -> None:
    await mirror_all(database, await written(CHANNEL, *CHANGES))
    async with mirrored(database, await written(CHANNEL, *CHANGES[:1])) as mirror:
        await until(lambda: mirror.failure)
        assert mirror.failure is not None
        assert mirror.failure.code == "foreign"
        assert "eventhub rebuild FILE --mirror" in mirror.note
        assert mirror.note.startswith("the mirror of simple is 1 event behind: table simple in ")
    assert sorted(database.fetch(SELECT)) == ROWS


# --- Columns


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


def test_names_may_be_anything(database: Database) -> None:
    names = ['we"ird', "a b", "order", "%s", "50%", "x:y", ":p", "p0", "_id"[1:], "ids", "row"]
    channel = Channel('odd "name" %', Columns([Column(name) for name in names]))
    row = {name: f"value of {name}" for name in names if name != "id"}
    changes: list[Change] = [("POST", "a", row), ("POST", "b", {}), ("PUT", "b", row)]
    events, table = history(channel, changes), opened(database, channel)
    table.apply("e1", table.take_up("e1", 0), events[:2])
    table.apply("e1", 2, events[2:])
    with table.listing() as (standing, chunks):
        rows = [found for chunk in chunks for found in chunk]
    assert standing.head == 3
    assert sorted(rows, key=lambda one: str(one["id"])) == [
        event.event.row for event in (events[0], events[2])
    ]
    table.close()
