"""Every source of rows answers alike: the one of the tests, and the tables of DuckDB."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventhub.event import StoredEvent
from eventhub.memory import MemoryStream
from eventhub.snapshots import RowHead, Snapshots
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.builders import channel
from tests.projecting import history, lines, opened, query, read_all, rows_after, write
from tests.subscribing import MemorySnapshots

CHAT = channel()
EVENTS = history(
    CHAT,
    [("POST", f"r{n}", {"text": "odd" if n % 2 else "even", "votes": n}) for n in range(7)]
    + [("PUT", "r1", {"votes": 10}), ("DELETE", "r2", {}), ("POST", "r2", {"text": "back"})],
)


@pytest.fixture(params=["memory", "tables"])
async def snapshots(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Snapshots]:
    """A source of the rows of some events."""
    stream = MemoryStream(CHAT)
    await write(stream, EVENTS)
    if request.param == "memory":
        yield MemorySnapshots(stream)
        return
    async with Store(tmp_path / "p", [CHAT]) as store:
        await store.append(CHAT.name, EVENTS)
        await store.fold(CHAT.name)
        yield DuckSnapshots(store, [Projector(store, stream)])


async def test_a_snapshot_has_the_rows_at_its_sequence_in_order_of_creation(
    snapshots: Snapshots,
) -> None:
    async with opened(snapshots, CHAT, at_least=len(EVENTS)) as snapshot:
        assert snapshot.sequence == len(EVENTS)
        rows = await read_all(snapshot)
        assert snapshot.size > 0
        assert snapshot.completed_at is not None
    assert rows == [(sequence, row) for sequence, _, row in rows_after(EVENTS).values()]


async def test_a_query_selects_rows_and_columns(snapshots: Snapshots) -> None:
    asked = query(CHAT, text=["odd"], _c=["votes"])
    async with opened(snapshots, CHAT, asked) as snapshot:
        rows = await read_all(snapshot)
    assert [row for _, row in rows] == [{"votes": 10}, {"votes": 3}, {"votes": 5}]


async def test_rows_without_sequences_have_their_columns_alone(snapshots: Snapshots) -> None:
    asked = query(CHAT)
    async with (
        snapshots.read(CHAT.name, asked, lines, row_head=RowHead.NONE, at_least=0) as snapshot,
        snapshot.reading() as parts,
    ):
        rows = b"".join([part async for part in parts]).splitlines()
    assert len(rows) == 7
    assert not any(b"_seq" in row or b"_method" in row for row in rows)


async def test_each_reader_of_a_snapshot_gets_all_of_it(snapshots: Snapshots) -> None:
    async with opened(snapshots, CHAT) as snapshot:
        first, second = await read_all(snapshot), await read_all(snapshot)
    assert first == second
    assert len(first) == 7


async def versions(snapshots: Snapshots, row_id: str, up_to: int) -> list[dict[str, Any] | None]:
    rows: list[dict[str, Any] | None] = []
    after, is_last = 0, False
    while not is_last:
        page = await snapshots.versions(CHAT.name, row_id, after=after, up_to=up_to)
        rows += [version.row for version in page.versions]
        after, is_last = page.versions[-1].sequence if page.versions else after, page.is_last
    return rows


def of_row(events: list[StoredEvent], row_id: str) -> list[dict[str, Any] | None]:
    return [stored.event.row for stored in events if stored.event.id == row_id]


@pytest.mark.parametrize("row_id", ["r1", "r2", "r6", "nope"])
@pytest.mark.parametrize("up_to", [0, 8, len(EVENTS)])
async def test_the_versions_of_a_row_are_its_events_up_to_a_sequence(
    snapshots: Snapshots, row_id: str, up_to: int
) -> None:
    assert await versions(snapshots, row_id, up_to) == of_row(EVENTS[:up_to], row_id)
