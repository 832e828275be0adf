"""The history of a row has every version, as far as its reader may see the row."""

import pytest

from eventhub.delivery.versions import read_versions, version_of
from eventhub.event import StoredEvent
from eventhub.filters.query import Query, parse
from eventhub.memory import MemoryStream
from tests.builders import channel
from tests.subscribing import MemorySnapshots, append

ALL = parse({}, channel().columns)
MINE = ALL.within(parse({"text": ["mine"]}, channel().columns).filter)


@pytest.fixture
async def stream() -> MemoryStream:
    """Row `a` enters and leaves what a restricted reader may see; `b` is another row."""
    stream = MemoryStream(channel())
    await append(stream, id="a", text="secret")
    await append(stream, id="b", text="mine")
    for change in ({"text": "mine"}, {"votes": 1}, {"text": "hidden"}, {"votes": 2}):
        await append(stream, _method="PUT", id="a", **change)
    await append(stream, _method="DELETE", id="a")
    return stream


async def events(stream: MemoryStream, up_to: int = 7) -> list[StoredEvent]:
    pages = read_versions(MemorySnapshots(stream), "chat", "a", up_to, client=None)
    return [stored async for page in pages for stored in page]


async def test_the_events_of_the_row_come_in_order_over_all_pages(stream: MemoryStream) -> None:
    found = await events(stream)
    assert [stored.sequence for stored in found] == [1, 3, 4, 5, 6, 7]
    for stored in found:
        original = await stream.get(stored.sequence)
        assert original is not None
        assert (stored.before, stored.event.row) == (original.before, original.event.row)


async def test_nothing_after_the_last_sequence_is_read(stream: MemoryStream) -> None:
    assert [stored.sequence for stored in await events(stream, up_to=4)] == [1, 3, 4]


@pytest.mark.parametrize(
    ("query", "methods"),
    [
        (ALL, ["POST", "PUT", "PUT", "PUT", "PUT", "DELETE"]),
        (MINE, [None, "POST", "PUT", "DELETE", None, None]),
    ],
    ids=["all", "restricted"],
)
async def test_a_reader_sees_a_row_enter_and_leave_what_it_may_see(
    stream: MemoryStream, query: Query, methods: list[str | None]
) -> None:
    found = [version_of(stored, query) for stored in await events(stream)]
    assert [None if version is None else version["_method"] for version in found] == methods
    if query is MINE:
        assert "secret" not in repr(found)
        assert "hidden" not in repr(found)


async def test_a_version_names_its_endpoint_before_its_rows(stream: MemoryStream) -> None:
    [_, second, *_] = await events(stream)
    version = version_of(second, ALL)
    assert version is not None
    assert list(version) == ["_seq", "_time", "_method", "id", "_user", "_endpoint", "row", "was"]
    assert (version["_seq"], version["_endpoint"], version["was"]) == (
        3,
        "chat",
        {"text": "secret"},
    )
