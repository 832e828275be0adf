"""The mirror: what the log says is what another program reads, in every kind of database."""

import asyncio

import pytest
from msgspec.structs import replace

from eventhub.memory import MemoryStream
from projections.mirror import Mirror, take_up
from projections.mirror_table import Standing
from tests.databases import Database
from tests.mirroring import (
    CHANGES,
    CHANNEL,
    ROWS,
    SELECT,
    mirror_all,
    mirrored,
    opened,
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


async def test_a_hub_that_stops_as_soon_as_it_started_leaves_the_whole_log(
    database: Database,
) -> None:
    stop = asyncio.Event()
    stop.set()
    await Mirror(opened(database), await written(CHANNEL, *CHANGES)).serve(stop)
    assert sorted(database.fetch(SELECT)) == ROWS


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


async def test_it_goes_on_where_it_was(database: Database) -> None:
    stream = await written(CHANNEL, *CHANGES)
    await mirror_all(database, stream)
    table = opened(database)
    assert table.standing() == Standing(stream.epoch, 6, has_rows=True, write="w6")
    assert await take_up(table, stream) == 6
    table.close()


@pytest.mark.parametrize("since", [0, 1, 2, 3])
async def test_rows_of_a_later_state_of_a_restored_log_are_left_alone_and_reported(
    database: Database, since: int
) -> None:
    """A log that was restored from an older copy may have other events by now, and as many."""
    stream = await written(CHANNEL, *CHANGES)
    await mirror_all(database, stream)
    older = MemoryStream(CHANNEL)
    older.epoch = stream.epoch
    await write(older, history(CHANNEL, CHANGES[:4]))
    for other in history(CHANNEL, [("POST", f"n{n}", {}) for n in range(since)]):
        await older.append(replace(other.event, write=f"other{other.sequence}"), expect=0)
    async with mirrored(database, older) as mirror:
        await until(lambda: mirror.failure)
        assert mirror.failure is not None
        assert mirror.failure.code == "foreign"
        assert "of a later state of it" in mirror.note
        assert "eventhub rebuild FILE --mirror" in mirror.note
        assert sorted(database.fetch(SELECT)) == ROWS
    by_command = Mirror(opened(database), older)
    await by_command.rebuild(lambda _reached, _last: None)
    by_command.close()
    assert (await proved(database, older))[0].is_equal
