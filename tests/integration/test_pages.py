"""A table may be larger than the memory of DuckDB: its rows are read in pages."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import duckdb
import pytest

from eventhub.errors import Unavailable
from eventhub.memory import MemoryStream
from projections import database as module
from projections.pages import SHARES, pages
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.projecting import history, opened, query, read_all
from tests.snapshotting import CHAT, fill

ROWS = 100_000
MEMORY_BYTES = 64 << 20
"""Less than the 100 MB of text in the rows."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of rows of 1 KB that were changed in no order: it has to be sorted."""
    path = tmp_path_factory.mktemp("large") / "p"
    fill(path, ROWS)
    return path


@asynccontextmanager
async def snapshots_of(path: Path) -> AsyncIterator[DuckSnapshots]:
    async with Store(path, [CHAT]) as store:
        yield DuckSnapshots(store, [Projector(store, MemoryStream(CHAT))])


async def test_a_table_larger_than_the_memory_of_duckdb_is_replayed(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole table and a part of it; only a different order needs all rows in memory at once."""
    monkeypatch.setattr(module, "MEMORY_BYTES", MEMORY_BYTES)
    created = sorted((n * 7919 % 1000003, n) for n in range(1, ROWS + 1))
    in_order = [n for _, n in created]
    async with snapshots_of(large) as snapshots:
        async with opened(snapshots, CHAT) as snapshot:
            assert [seq for seq, _ in await read_all(snapshot)] == in_order
        some = query(CHAT, **{"id>": ["r3"]})
        async with opened(snapshots, CHAT, some) as snapshot:
            found = [row["id"] for _, row in await read_all(snapshot)]
        assert found == [f"r{n}" for n in in_order if f"r{n}" > "r3"]
        with pytest.raises(Unavailable, match="Out of Memory"):
            async with opened(snapshots, CHAT, query(CHAT, _sort=["text"])) as snapshot:
                await read_all(snapshot)


async def test_duckdb_stays_within_its_memory_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither than we let it, nor than it would by itself on a small machine."""

    def limit(connection: duckdb.DuckDBPyConnection) -> int:
        sql = "SELECT parse_formatted_bytes(current_setting('memory_limit'))"
        [(found,)] = connection.execute(sql).fetchall()
        return int(found)

    with duckdb.connect() as connection:
        by_itself = limit(connection)
    for memory, expected in ((MEMORY_BYTES, MEMORY_BYTES), (2 * by_itself, by_itself)):
        monkeypatch.setattr(module, "MEMORY_BYTES", memory)
        async with Store(tmp_path / "p", [CHAT]) as store, store.reader() as reader:
            assert await store.read(reader, limit) == store.memory_bytes == expected


async def test_duckdb_leaves_cores_to_the_event_loop(tmp_path: Path) -> None:
    def threads(connection: duckdb.DuckDBPyConnection) -> int:
        [(found,)] = connection.execute("SELECT current_setting('threads')").fetchall()
        return int(found)

    async with Store(tmp_path / "p", [CHAT]) as store, store.reader() as reader:
        cores = len(os.sched_getaffinity(0))
        assert await store.read(reader, threads) == max(1, cores // 2)


async def test_text_is_weighed_the_same_in_memory_and_after_a_restart(tmp_path: Path) -> None:
    """Rows that may be more than a page are weighed; the bound holds over a start and a reset."""
    events = history(CHAT, [("POST", f"r{n}", {"text": "x" * 1000}) for n in range(500)])
    async with Store(tmp_path / "p", [CHAT]) as store:
        assert store.text_bytes("chat") == 0
        await store.append("chat", events)
        before = store.text_bytes("chat")
    async with Store(tmp_path / "p", [CHAT]) as store:
        after = store.text_bytes("chat")
        await store.reset("chat", "another")
        assert store.text_bytes("chat") == 0
    assert 500_000 <= after <= before


async def test_rows_are_weighed_only_if_they_may_fill_several_pages(large: Path) -> None:
    async with Store(large, [CHAT]) as store, store.reader() as reader:
        page_bytes = 8 << 20

        async def count(text_bytes: float, **args: list[str]) -> int:
            def found(connection: duckdb.DuckDBPyConnection) -> int:
                tables, asked = store.tables["chat"], query(CHAT, **args)
                some = pages(
                    connection,
                    tables,
                    asked,
                    select="id",
                    text_bytes=text_bytes,
                    memory_bytes=SHARES * page_bytes,
                )
                return len(list(some))

            return await store.read(reader, found)

        at_most = store.text_bytes("chat")
        assert 102e6 / page_bytes < await count(at_most) < 1 + 112e6 / page_bytes
        assert await count(at_most, id=["r3"]) == 1
        assert await count(at_most, _limit=["3"]) == 1
        assert await count(page_bytes) == 1
