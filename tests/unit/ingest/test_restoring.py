"""Exported events become the same events in a log that has nothing else, however often."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from eventhub.errors import Rejected
from eventhub.event import LOADED, Event
from eventhub.ingest.loading import BadRow, Loaded
from eventhub.ingest.restoring import Restorer
from eventhub.memory import MemoryStream
from tests.builders import channel, make_event


def record(sequence: int, method: str, row_id: str, **more: Any) -> dict[str, Any]:
    """One event as an export writes it."""
    row = {"text": f"text {sequence}", "votes": sequence, "id": row_id, "user": None}
    return {
        "_seq": sequence,
        "_time": f"2020-01-01 00:00:00.00000{sequence}Z",
        "_method": method,
        "_user": "ann",
        "_endpoint": "chat",
        **row,
        "timestamp": None,
        "_was": None if method == "POST" else '{"votes": 1}',
        "_message": f'{{"id": "{row_id}", "extra": [1]}}',
        "_broadcast": None,
        "_write": f"w{sequence}",
        "_asked": None,
        **more,
    }


RECORDS = [
    record(1, "POST", "a"),
    record(2, "PUT", "a"),
    record(3, "POST", "b"),
    record(4, "DELETE", "a"),
    record(5, "POST", "a"),
    record(6, "PUT", "a", votes="7"),
]


async def arrays(records: list[dict[str, Any]]) -> AsyncIterator[list[dict[str, Any]]]:
    for start in range(0, len(records), 4):
        yield records[start : start + 4]


async def restore(
    stream: MemoryStream, records: list[dict[str, Any]], *, dry_run: bool = False
) -> tuple[Loaded, list[str]]:
    bad: list[BadRow] = []
    loaded = await Restorer(stream).restore(arrays(records), bad.append, dry_run=dry_run)
    return loaded, [str(each) for each in bad]


def events(stream: MemoryStream) -> list[Event]:
    return [stream.at(sequence).event for sequence in range(1, stream.length + 1)]


@pytest.fixture
def stream() -> MemoryStream:
    return MemoryStream(channel())


async def test_each_event_is_as_it_was_and_where_it_was(stream: MemoryStream) -> None:
    assert await restore(stream, RECORDS) == (Loaded(stored=6), [])
    found = events(stream)
    assert [(each.method, each.id) for each in found] == [
        (each["_method"], each["id"]) for each in RECORDS
    ]
    assert [each.created for each in found] == [0, 1, 0, 1, 0, 5]
    assert found[1].time == "2020-01-01T00:00:00.000002Z"
    assert (found[1].user, found[1].endpoint, found[1].was) == ("ann", "chat", {"votes": 1})
    assert found[1].message == {"id": "a", "extra": [1]}
    assert found[3].row is None
    assert found[5].row is not None
    assert found[5].row["votes"] == 7
    assert not any(each.alert for each in found)
    assert all(each.write.startswith(LOADED) for each in found)


async def test_a_restore_that_was_cut_off_goes_on(stream: MemoryStream) -> None:
    for cut in (1, 3, 6, 6):
        await restore(stream, RECORDS[:cut])
    assert await restore(stream, RECORDS) == (Loaded(known=6), [])
    assert stream.length == 6


async def test_a_dry_run_finds_the_same_and_writes_nothing(stream: MemoryStream) -> None:
    wrong = [*RECORDS, record(7, "POST", "c", votes="many"), record(8, "PUT", "nobody")]
    loaded, bad = await restore(stream, wrong, dry_run=True)
    assert (loaded, stream.length) == (Loaded(stored=6, bad=2), 0)
    assert bad == [
        "row 7 (id 'c'): votes: \"many\" is not a whole number (bad_value)",
        "row 8 (id 'nobody'): PUT of a row that does not exist then (bad_value)",
    ]


async def test_a_log_with_other_events_is_left_alone(stream: MemoryStream) -> None:
    await stream.append(make_event(), expect=0)
    with pytest.raises(Rejected, match="restore into an empty table"):
        await restore(stream, RECORDS)
    assert stream.length == 1


@pytest.mark.parametrize(
    ("wrong", "column"),
    [
        ({"_method": "PATCH"}, "_method"),
        ({"_time": "soon"}, "_time"),
        ({"_time": None}, "_time"),
        ({"_message": "[1]"}, "_message"),
        ({"_message": "{"}, "_message"),
        ({"_was": '{"votes": "many"}'}, "_was"),
        ({"_write": None}, "_write"),
        ({"id": ""}, "id"),
    ],
)
async def test_what_is_no_event_is_named(
    stream: MemoryStream, wrong: dict[str, Any], column: str
) -> None:
    found: list[BadRow] = []
    await Restorer(stream).restore(arrays([{**RECORDS[0], **wrong}]), found.append)
    assert [(each.number, each.error.column) for each in found] == [(1, column)]
    assert stream.length == 0
