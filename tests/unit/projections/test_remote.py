"""A command sees through the socket of a hub what the hub sees in its tables."""

from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import pytest

from eventhub.errors import Rejected, Unavailable
from eventhub.filters.conditions import EVERYTHING
from projections import tables_server
from projections.listing import StoreListing
from projections.past import StorePast
from projections.remote import RemoteListing, RemotePast, fetch_copy, open_remote_rows
from projections.row_batches import open_rows
from projections.store import Store
from projections.tables_socket import Request
from tests.projecting import query
from tests.unit.projections.serving import CHAT, EVENTS, filled, served


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """The tables of a hub that serves them."""
    async with filled(tmp_path) as store, served(tmp_path, store):
        yield store


async def test_a_listing_is_that_of_the_tables(store: Store, tmp_path: Path) -> None:
    async with StoreListing.open(store, "chat") as listing:
        here = [row async for chunk in listing.history() for row in chunk]
        here += [row async for chunk in listing.current() for row in chunk]
        progress = listing.progress
    async with RemoteListing.open(tmp_path, "chat") as far:
        assert far.progress == progress
        there = [row async for chunk in far.history() for row in chunk]
        there += [row async for chunk in far.current() for row in chunk]
    assert [row.sequence for row in there] == [row.sequence for row in here]
    assert [row.values["id"] for row in there] == [row.values["id"] for row in here]


async def test_the_past_is_that_of_the_tables(store: Store, tmp_path: Path) -> None:
    here, there = StorePast(store, "chat"), RemotePast(tmp_path, "chat", len(EVENTS))
    for row_id in ("r1", "r2", "none"):
        expected = [each async for page in here.versions(row_id) for each in page]
        assert [each async for page in there.versions(row_id) for each in page] == expected
    expected_pairs = [each async for page in here.pairs(2, 7) for each in page]
    assert [each async for page in there.pairs(2, 7) for each in page] == expected_pairs
    assert {pair.id for pair in expected_pairs} == {"r1", "r2", "r3", "r4"}


async def test_rows_are_those_of_the_tables(store: Store, tmp_path: Path) -> None:
    where = query(CHAT, **{"votes>": ["2"]}).filter
    for text, matching in (("", EVERYTHING), ("votes>=2", where)):
        async with open_rows(store, store.tables["chat"], matching) as (progress, batches):
            here = [table async for table in batches]
        request = Request(want="rows", table="chat", where=text)
        async with open_remote_rows(tmp_path, request) as (reached, tables):
            assert reached == progress
            there = [table async for table in tables]
        assert [table.to_pylist() for table in there] == [table.to_pylist() for table in here]
        assert sum(table.num_rows for table in there) == (4 if text == "" else 3)


async def test_a_copy_is_a_database_of_its_own(store: Store, tmp_path: Path) -> None:
    await fetch_copy(tmp_path, tmp_path / "copy.duckdb")
    with duckdb.connect(tmp_path / "copy.duckdb", read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM chat").fetchall() == [(4,)]


async def test_a_table_that_the_hub_does_not_have_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="the running hub has no table 'other'"):
        async with RemoteListing.open(tmp_path, "other"):
            pass


async def test_tables_that_are_behind_are_not_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables_server, "WAIT_SECONDS", 0.01)
    past = RemotePast(tmp_path, "chat", len(EVENTS) + 1)
    with pytest.raises(Unavailable, match="the tables are at 7, not 8"):
        await anext(past.versions("r1"))


async def test_without_a_hub_a_command_can_tell(tmp_path: Path) -> None:
    with pytest.raises((ConnectionError, FileNotFoundError)):
        async with RemoteListing.open(tmp_path, "chat"):
            pass
