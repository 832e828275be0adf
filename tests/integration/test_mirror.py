"""The mirror: what the log says is what another program reads, in every kind of database."""

from tests.databases import Database
from tests.mirroring import (
    CHANGES,
    CHANNEL,
    ROWS,
    SELECT,
    mirror_all,
    mirrored,
    proved,
    until,
    written,
)
from tests.projecting import history, write


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
