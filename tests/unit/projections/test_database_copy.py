"""A copy has all tables at one moment, and stands in nobody's way."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from eventhub.errors import Unavailable
from projections import database_copy as module
from projections.database_copy import FOLDER, DatabaseCopies
from projections.store import Store
from tests.builders import channel
from tests.projecting import history

CHAT, NOTES = channel("chat"), channel('no"tes')
EVENTS = history(CHAT, [("POST", f"r{n}", {"votes": n}) for n in range(5)] + [("PUT", "r0", {})])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Two tables: of one, the last events are in the history only."""
    async with Store(tmp_path / "p", [CHAT, NOTES]) as store:
        await store.begin("chat", "e1")
        await store.begin('no"tes', "e2")
        await store.append("chat", EVENTS[:4])
        await store.fold("chat")
        await store.append("chat", EVENTS[4:])
        yield store


def fetch(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute(sql).fetchall()


async def test_rows_and_history_are_as_of_the_same_event(store: Store, tmp_path: Path) -> None:
    async with DatabaseCopies(store).copy() as path:
        assert fetch(path, "SELECT id FROM chat ORDER BY _seq") == [(f"r{n}",) for n in range(4)]
        assert fetch(path, "SELECT _seq FROM chat_history ORDER BY 1") == [(1,), (2,), (3,), (4,)]
        assert fetch(path, 'SELECT count(*) FROM "no""tes_history"') == [(0,)]


async def test_a_hub_could_go_on_from_a_copy(store: Store, tmp_path: Path) -> None:
    async with DatabaseCopies(store).copy() as path:
        moved = path.rename(tmp_path / "moved.duckdb")
    async with Store(moved, [CHAT, NOTES]) as other:
        progress = other.progress("chat")
        assert (progress.epoch, progress.head, progress.watermark) == ("e1", 4, 4)
        await other.append("chat", EVENTS[4:])
        await other.fold("chat")
    assert fetch(moved, "SELECT count(*), max(_seq) FROM chat") == [(5, 6)]


async def test_one_copy_is_made_at_a_time(store: Store) -> None:
    copies = DatabaseCopies(store)
    async with copies.copy():
        with pytest.raises(Unavailable, match="another copy") as refusal:
            async with copies.copy():
                pass
    assert refusal.value.code == "busy"
    async with copies.copy():
        pass


async def test_a_copy_is_gone_after_the_block_and_after_a_kill(
    store: Store, tmp_path: Path
) -> None:
    async with DatabaseCopies(store).copy() as path:
        pass
    async with asyncio.timeout(40):
        while path.parent.exists():  # it is removed in a thread
            await asyncio.sleep(0.001)
    left = tmp_path / f"{FOLDER}left"
    left.mkdir()
    (left / "snapshot.duckdb").touch()
    DatabaseCopies(store)
    assert not left.exists()


async def test_without_room_nothing_is_copied(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESERVED_BYTES", 1 << 60)
    with pytest.raises(Unavailable, match="has no room for a copy"):
        async with DatabaseCopies(store).copy():
            pass
    assert not [name for name in os.listdir(tmp_path) if name.startswith(FOLDER)]
