"""A batch of events and how far the table is change together, or not at all."""

from pathlib import Path

import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns
from projections.mirror_engine import MirrorFailed
from tests.databases import Database, Sqlite
from tests.mirroring import CHANGES, CHANNEL, ROWS, SELECT, opened
from tests.projecting import Change, history


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_batches_cut_anywhere_come_to_the_same_rows(database: Database, size: int) -> None:
    events, table = history(CHANNEL, CHANGES), opened(database)
    head = table.take_up("e1")
    for start in range(0, len(events), size):
        head = table.apply("e1", head, events[start : start + size])
    assert table.take_up("e1") == head == 6
    assert sorted(database.fetch(SELECT)) == ROWS
    table.close()


def test_in_sqlite_rows_stay_in_the_order_in_which_they_were_made(tmp_path: Path) -> None:
    """Programs that read without ORDER BY rely on it. PostgreSQL promises no such order."""
    database = Sqlite(tmp_path / "messages.db")
    table = opened(database)
    events = history(CHANNEL, [*CHANGES, ("PUT", "c", {"votes": 5}), ("PUT", "a", {"votes": 0})])
    table.apply("e1", table.take_up("e1"), events[:3])
    table.apply("e1", 3, events[3:])
    assert [row[0] for row in database.fetch(SELECT)] == ["a", "c", "d"]
    table.close()


def test_a_batch_that_was_applied_is_refused_and_changes_nothing(database: Database) -> None:
    events, table = history(CHANNEL, CHANGES), opened(database)
    table.apply("e1", table.take_up("e1"), events)
    with pytest.raises(MirrorFailed, match="not at event 0 any more") as caught:
        table.apply("e1", 0, events)
    assert caught.value.code == "moved"
    assert sorted(database.fetch(SELECT)) == ROWS
    table.close()


def test_a_batch_that_fails_halfway_leaves_rows_and_checkpoint(database: Database) -> None:
    events, table = history(CHANNEL, CHANGES), opened(database)
    table.apply("e1", table.take_up("e1"), events[:2])
    database.execute("CREATE UNIQUE INDEX one_of_each ON simple (votes)")
    doubled = history(CHANNEL, [*CHANGES[:2], ("POST", "x", {"votes": 2**40})])
    with pytest.raises(MirrorFailed) as caught:
        table.apply("e1", 2, doubled[2:])
    assert caught.value.code == "refused"
    assert table.take_up("e1") == 2
    assert len(database.fetch(SELECT)) == 2
    table.close()


async def test_a_row_whose_post_is_missing_from_the_log_is_made_by_its_put(
    database: Database,
) -> None:
    events, table = history(CHANNEL, CHANGES), opened(database)
    table.apply("e1", table.take_up("e1"), events[1:])
    assert sorted(database.fetch(SELECT)) == ROWS
    table.close()


@pytest.mark.parametrize("made", [None, "CREATE TABLE simple (id VARCHAR(200) PRIMARY KEY)"])
def test_ids_that_differ_in_case_or_spaces_are_rows_of_their_own(
    database: Database, made: str | None
) -> None:
    if made is not None:
        database.execute(made)
    ids = ["a", "A", "a ", "ä", " a"]
    changes: list[Change] = [("POST", row_id, {}) for row_id in ids]
    changes += [("PUT", "A", {"body": "x"}), ("DELETE", "a", {})]
    events, table = history(CHANNEL, changes), opened(database)
    table.apply("e1", table.take_up("e1"), events[:5])
    table.apply("e1", 5, events[5:])
    found = sorted(database.fetch("SELECT id, body FROM simple"))
    assert found == sorted((row_id, "x" if row_id == "A" else None) for row_id in ids[1:])
    table.close()


def test_names_may_be_anything(database: Database) -> None:
    names = ['we"ird', "a b", "order", "%s", "50%", "x:y", ":p", "p0", "_id"[1:], "ids", "row"]
    channel = Channel('odd "name" %', Columns([Column(name) for name in names]))
    row = {name: f"value of {name}" for name in names if name != "id"}
    changes: list[Change] = [("POST", "a", row), ("POST", "b", {}), ("PUT", "b", row)]
    events, table = history(channel, changes), opened(database, channel)
    table.apply("e1", table.take_up("e1"), events[:2])
    table.apply("e1", 2, events[2:])
    with table.listing() as (standing, chunks):
        rows = [found for chunk in chunks for found in chunk]
    assert standing.head == 3
    assert sorted(rows, key=lambda one: str(one["id"])) == [
        event.event.row for event in (events[0], events[2])
    ]
    table.close()
