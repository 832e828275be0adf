"""The current rows are read at one moment, in order of creation, a bounded piece at a time."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from eventhub.filters.conditions import EVERYTHING, Filter
from projections import row_batches as module
from projections.columnar import row_schema
from projections.row_batches import as_stream, of_stream, open_rows
from projections.store import Store
from tests.builders import channel
from tests.projecting import history, query

CHAT = channel()
EVENTS = history(
    CHAT,
    [("POST", f"r{n}", {"votes": n, "text": "x" * 100}) for n in range(500)]
    + [("PUT", "r3", {"votes": -3}), ("DELETE", "r4", {})],
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "p", [CHAT]) as store:
        await store.begin("chat", "e1")
        await store.append("chat", EVENTS)
        await store.fold("chat")
        yield store


async def tables(store: Store, where: Filter = EVERYTHING) -> list[pa.Table]:
    async with open_rows(store, store.tables["chat"], where) as (progress, batches):
        assert (progress.epoch, progress.watermark) == ("e1", len(EVENTS))
        return [table async for table in batches]


def votes(found: list[pa.Table]) -> list[Any]:
    return [value for table in found for value in table["votes"].to_pylist()]


@pytest.mark.parametrize("step_bytes", [1, 4 << 20])
async def test_all_rows_come_once_in_order_of_creation_in_pieces_of_any_size(
    store: Store, monkeypatch: pytest.MonkeyPatch, step_bytes: int
) -> None:
    monkeypatch.setattr(module, "STEP_BYTES", step_bytes)
    found = await tables(store)
    assert votes(found) == [-3 if n == 3 else n for n in range(500) if n != 4]
    assert all(table.schema == row_schema(CHAT) for table in found)
    assert (len(found) > 1) is (step_bytes == 1)


async def test_only_rows_that_match_are_read(store: Store) -> None:
    found = await tables(store, query(CHAT, **{"votes>": ["497"]}).filter)
    assert votes(found) == [498, 499]
    assert await tables(store, query(CHAT, text=["nothing"]).filter) == []


async def test_rows_that_change_meanwhile_are_read_as_they_were(store: Store) -> None:
    async with open_rows(store, store.tables["chat"], EVERYTHING) as (_, batches):
        later = history(CHAT, [("POST", f"r{n}", {"votes": n}) for n in range(600)])
        await store.append("chat", later[502:])
        await store.fold("chat")
        assert len(votes([table async for table in batches])) == 499


async def test_a_table_survives_its_way_through_a_socket(store: Store) -> None:
    [table, *_] = await tables(store)
    assert of_stream(as_stream(table)).equals(table)
