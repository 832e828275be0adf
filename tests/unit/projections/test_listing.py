"""A listing has all rows of both tables at one moment, damaged ones included."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from projections import listing as module
from projections.listing import Row, StoreListing
from projections.store import Store
from tests.projecting import history

CHAT = Channel("chat", Columns([Column("votes", Kind.INTEGER)]))
EVENTS = history(CHAT, [("POST", f"r{n}", {"votes": n}) for n in range(5)])


async def all_of(chunks: AsyncIterator[list[Row]]) -> list[Row]:
    return [row async for chunk in chunks for row in chunk]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "p", [CHAT]) as opened:
        await opened.begin("chat", "e1")
        await opened.append("chat", EVENTS[:3])
        await opened.fold("chat")
        await opened.append("chat", EVENTS[3:])
        yield opened


@pytest.mark.parametrize("size", [1, 2, 50])
async def test_both_tables_are_listed_in_chunks_of_any_size(
    store: Store, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", size)
    async with StoreListing.open(store, "chat") as listing:
        assert (listing.progress.head, listing.progress.watermark) == (5, 3)
        past = await all_of(listing.history())
        current = await all_of(listing.current())
    assert [row.sequence for row in past] == [1, 2, 3, 4, 5]
    assert [row.values["votes"] for row in past] == [0, 1, 2, 3, 4]
    assert {row.values["_method"] for row in past} == {"POST"}
    assert sorted(row.values["id"] for row in current) == ["r0", "r1", "r2"]


async def test_rows_that_are_stored_later_are_not_listed(store: Store) -> None:
    async with StoreListing.open(store, "chat") as listing:
        await store.fold("chat")
        assert len(await all_of(listing.history())) == 5
        assert len(await all_of(listing.current())) == 3
