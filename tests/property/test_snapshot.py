"""However fast or slow its readers are, a snapshot has the same rows."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventhub.channel import Channel
from eventhub.columns import Columns
from eventhub.memory import MemoryStream
from projections import snapshot as module
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.projecting import history, query

CHAT = Channel("chat", Columns([]))
ROWS = 200
SPOOL_AFTER_SECONDS = 0.003
PAUSES = st.lists(
    st.sampled_from([0.0, 0.0, 0.5 * SPOOL_AFTER_SECONDS, 4 * SPOOL_AFTER_SECONDS]), max_size=30
)
"""Of one reader, after each chunk; then it reads on without."""


async def sequences(snapshots: DuckSnapshots, pauses: list[float]) -> list[int]:
    """Read a snapshot at the pace of one reader."""
    found, left = [], iter(pauses)
    async with snapshots.read("chat", query(CHAT), at_least=0) as snapshot:
        async for chunk in snapshot.chunks():
            found += [sequence for sequence, _ in chunk]
            await asyncio.sleep(next(left, 0.0))
    return found


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    readers=st.lists(PAUSES, min_size=1, max_size=4),
    rows=st.integers(1, 30),
    weight=st.sampled_from([1, 1 << 20]),
    places=st.integers(1, 3),
)
def test_any_paces_of_any_readers_give_the_same_rows(
    monkeypatch: pytest.MonkeyPatch,
    readers: list[list[float]],
    rows: int,
    weight: int,
    places: int,
) -> None:
    for name, value in {
        "SPOOL_AFTER_SECONDS": SPOOL_AFTER_SECONDS,
        "LOOK_SECONDS": 0.001,
        "CHUNK_ROWS": rows,
        "CHUNK_BYTES": weight,
        "BLOCK_ROWS": 7,
        "MAX_OPEN": places,
    }.items():
        monkeypatch.setattr(module, name, value)

    async def scenario(folder: str) -> None:
        async with Store(Path(folder) / "p", [CHAT]) as store:
            await store.append("chat", history(CHAT, [("POST", f"r{n}", {}) for n in range(ROWS)]))
            await store.fold("chat")
            snapshots = DuckSnapshots(store, [Projector(store, MemoryStream(CHAT))])
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(sequences(snapshots, pauses)) for pauses in readers]
        for task in tasks:
            assert task.result() == list(range(1, ROWS + 1))

    with TemporaryDirectory() as folder:
        asyncio.run(scenario(folder))
