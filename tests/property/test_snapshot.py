"""All readers of a snapshot get the same rows, however fast or slow they are."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventhub.channel import Channel
from eventhub.columns import Columns
from eventhub.memory import MemoryStream
from eventhub.snapshots import Snapshot
from projections import snapshot as module
from projections import spool as spool_module
from projections import table_snapshot
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.examples import examples
from tests.projecting import history, opened, rows_of

CHAT = Channel("chat", Columns([]))
ROWS = 200
PAUSES = st.lists(st.sampled_from([0.0, 0.0, 0.001, 0.01]), max_size=30)
"""Pauses of one reader: before it begins, then after each part; then it reads without pauses."""


async def sequences(snapshot: Snapshot, pauses: list[float]) -> list[int]:
    """Read a snapshot at the pace of one reader."""
    data, left = b"", iter(pauses)
    await asyncio.sleep(next(left, 0.0))
    async with snapshot.reading() as parts:
        async for part in parts:
            data += part
            await asyncio.sleep(next(left, 0.0))
    return [sequence for sequence, _ in rows_of(data)]


@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    readers=st.lists(st.lists(PAUSES, min_size=1, max_size=3), min_size=1, max_size=3),
    rows=st.integers(1, 30),
    weight=st.sampled_from([1, 1 << 20]),
    step=st.sampled_from([1, 1000, 1 << 20]),
    part=st.sampled_from([301, 5000, 1 << 20]),
    memory=st.sampled_from([0, 2000, 1 << 20]),
    slots=st.integers(1, 3),
)
def test_readers_get_the_same_rows_at_any_pace(
    monkeypatch: pytest.MonkeyPatch,
    readers: list[list[list[float]]],
    rows: int,
    weight: int,
    step: int,
    part: int,
    memory: int,
    slots: int,
) -> None:
    """`readers`: for each snapshot, the pauses of its readers."""
    for name, value in {
        "CHUNK_ROWS": rows,
        "CHUNK_BYTES": weight,
        "STEP_BYTES": step,
        "BLOCK_ROWS": 7,
    }.items():
        monkeypatch.setattr(table_snapshot, name, value)
    monkeypatch.setattr(module, "MEMORY_BYTES", memory)
    monkeypatch.setattr(module, "SMALL_SLOTS", slots)
    monkeypatch.setattr(spool_module, "PART_BYTES", part)

    async def read(snapshots: DuckSnapshots, paces: list[list[float]]) -> list[list[int]]:
        async with opened(snapshots, CHAT) as snapshot, asyncio.TaskGroup() as group:
            tasks = [group.create_task(sequences(snapshot, pauses)) for pauses in paces]
            await asyncio.wait(tasks)
        return [task.result() for task in tasks]

    async def scenario(folder: str) -> None:
        async with Store(Path(folder) / "p", [CHAT]) as store:
            await store.append("chat", history(CHAT, [("POST", f"r{n}", {}) for n in range(ROWS)]))
            await store.fold("chat")
            snapshots = DuckSnapshots(store, [Projector(store, MemoryStream(CHAT))])
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(read(snapshots, paces)) for paces in readers]
        for task, paces in zip(tasks, readers, strict=True):
            assert task.result() == [list(range(1, ROWS + 1))] * len(paces)

    with TemporaryDirectory() as folder:
        asyncio.run(scenario(folder))
