"""A version is restored by one more event, unless the row has changed or may not be seen."""

from typing import Any

import pytest

from eventhub.errors import Conflict, Rejected
from eventhub.filters.conditions import EVERYTHING, Filter
from eventhub.filters.query import parse
from eventhub.ingest.command import Command
from eventhub.ingest.permission import UNLIMITED, ColumnAccess, Permission
from eventhub.ingest.reverting import ENDPOINT, restoring, revert
from eventhub.memory import MemoryStream
from tests.builders import channel
from tests.subscribing import append

MINE = parse({"text": ["old"]}, channel().columns).filter


@pytest.fixture
async def stream() -> MemoryStream:
    """Two versions of row `a`, and one of row `b`."""
    stream = MemoryStream(channel())
    await append(stream, id="a", text="old", votes=1)
    await append(stream, _method="PUT", id="a", text="new")
    await append(stream, id="b", text="old")
    return stream


async def row(stream: MemoryStream, row_id: str) -> dict[str, Any] | None:
    last = await stream.last(row_id)
    assert last is not None
    return last.event.row


def asked(row_id: object, target: int, seen: int) -> Command:
    return Command.parse({"id": row_id, "_method": "PUT", "_revert": target, "_if_seq": seen})


async def test_a_revert_is_one_more_event_with_the_old_values(stream: MemoryStream) -> None:
    stored = await revert(stream, "a", 1, seen=None)
    assert (stored.sequence, stream.length) == (4, 4)
    assert (stored.event.method, stored.event.endpoint) == ("PUT", ENDPOINT)
    assert stored.event.was == {"text": "new"}
    first = await stream.get(1)
    assert first is not None
    assert await row(stream, "a") == first.event.row


async def test_a_row_is_taken_back_to_where_it_did_not_exist_and_forth(
    stream: MemoryStream,
) -> None:
    await revert(stream, "a", 0, seen=2)
    assert await row(stream, "a") is None
    stored = await revert(stream, "a", 2, seen=4)
    assert stored.event.method == "POST"
    restored = await row(stream, "a")
    assert restored is not None
    assert (restored["text"], restored["votes"]) == ("new", 1)


async def test_a_row_that_has_changed_since_is_left_alone(stream: MemoryStream) -> None:
    with pytest.raises(Conflict):
        await revert(stream, "a", 1, seen=1)
    assert stream.length == 3


@pytest.mark.parametrize(
    ("row_id", "sequence", "says"),
    [
        ("c", 1, "there never was a row with id 'c'"),
        ("a", 3, "row 'a' has no event 3"),
        ("a", 99, "row 'a' has no event 99"),
    ],
)
async def test_an_event_that_is_none_of_the_row_is_not_found(
    stream: MemoryStream, row_id: str, sequence: int, says: str
) -> None:
    with pytest.raises(Rejected, match=says) as refusal:
        await revert(stream, row_id, sequence, seen=None)
    assert refusal.value.code == "not_found"
    assert stream.length == 3


async def test_a_command_becomes_the_write_that_restores(stream: MemoryStream) -> None:
    command = await restoring(asked("a", 1, 2), stream, UNLIMITED)
    assert (command.method, command.if_sequence) == ("PUT", 2)
    assert (command.message["text"], command.message["votes"]) == ("old", 1)


@pytest.mark.parametrize("within", [MINE, EVERYTHING], ids=["restricted", "unrestricted"])
async def test_a_version_that_the_sender_may_not_see_seems_not_to_exist(
    stream: MemoryStream, within: Filter
) -> None:
    """The text of the last version is `new`, which a sender restricted to `old` may not see."""
    if within is EVERYTHING:
        assert (await restoring(asked("a", 1, 2), stream, Permission(within))).method == "PUT"
        return
    with pytest.raises(Rejected) as refusal:
        await restoring(asked("a", 1, 2), stream, Permission(within))
    assert refusal.value.code == "not_found"


async def test_a_command_without_an_id_is_refused(stream: MemoryStream) -> None:
    with pytest.raises(Rejected) as refusal:
        await restoring(asked(None, 1, 2), stream, UNLIMITED)
    assert refusal.value.code == "bad_id"


async def test_a_hidden_column_keeps_its_value(stream: MemoryStream) -> None:
    """A sender who could restore it could choose among values that it may not read."""
    await append(stream, _method="PUT", id="a", votes=7)
    reader = Permission(columns=ColumnAccess(hidden=frozenset({"votes"})))
    command = await restoring(asked("a", 1, 4), stream, reader)
    assert (command.message["text"], command.message["votes"]) == ("old", 7)
    with pytest.raises(Conflict, match="already as it was"):
        await restoring(asked("a", 2, 4), stream, reader)
    await append(stream, _method="DELETE", id="a")
    command = await restoring(asked("a", 1, 5), stream, reader)
    assert (command.method, command.message["votes"]) == ("POST", 7)
