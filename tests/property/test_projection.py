"""Whatever happens to a channel, its table is the fold of its events, and its JSON the rows."""

import asyncio
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eventhub.channel import Channel
from eventhub.columns import Column, Kind
from eventhub.memory import MemoryStream
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.projecting import EVERY_KIND, Change, Row, history, query, read_all, rows_after

TEXT = st.text(max_size=12) | st.sampled_from(
    ["\0", '"\\', "\u2028\u2029", "\U0001f600e\u0301", ""]
)
JSON = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: TEXT,
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1]),
    Kind.REAL: st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1e22, -0.0, 0.1, 5e-324, 1e16, 100.0]),
    Kind.BOOLEAN: st.booleans(),
    Kind.DATE: st.dates().map(str),
    Kind.TIMESTAMP: st.datetimes().map(lambda moment: moment.isoformat())
    | st.datetimes().map(lambda moment: moment.replace(microsecond=120000).isoformat())
    | st.datetimes().map(lambda moment: moment.replace(microsecond=0).isoformat()),
    Kind.JSON: JSON.filter(lambda value: value != ""),
}


def values(column: Column) -> st.SearchStrategy[Any]:
    """Values as `Columns` converts them: canonical."""
    return st.none() | VALUES[column.kind].map(column.convert)


DECLARED = [column for column in EVERY_KIND.columns if column.name not in ("id", "user")]
SOME = st.fixed_dictionaries({}, optional={column.name: values(column) for column in DECLARED})
CHANGES: st.SearchStrategy[list[Change]] = st.lists(
    st.tuples(st.sampled_from(["POST", "PUT", "DELETE"]), st.sampled_from("abcd"), SOME),
    max_size=40,
)


def exactly(rows: list[tuple[int, Row]]) -> str:
    """Tell 1 from 1.0 and from true, 0.0 from -0.0, and one order of keys from another."""
    return repr(rows)


async def snapshot_of(store: Store, channel: Channel) -> list[tuple[int, Row]]:
    snapshots = DuckSnapshots(store, [Projector(store, MemoryStream(channel))])
    async with snapshots.read(channel.name, query(channel), at_least=0) as snapshot:
        return await read_all(snapshot)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.fixed_dictionaries({c.name: values(c) for c in DECLARED}), max_size=20))
def test_the_json_of_a_row_is_the_row_exactly(rows: list[Row]) -> None:
    async def scenario(folder: str) -> None:
        events = history(EVERY_KIND, [("POST", f"r{n}", row) for n, row in enumerate(rows)])
        async with Store(Path(folder) / "p", [EVERY_KIND]) as store:
            await store.append(EVERY_KIND.name, events)
            await store.fold(EVERY_KIND.name)
            found = await snapshot_of(store, EVERY_KIND)
        assert exactly(found) == exactly([(s.sequence, s.event.row or {}) for s in events])

    with TemporaryDirectory() as folder:
        asyncio.run(scenario(folder))


@settings(max_examples=30, deadline=None)
@given(CHANGES, st.data())
def test_any_batches_and_folds_come_to_the_same_table(
    changes: list[Change], data: st.DataObject
) -> None:
    events = history(EVERY_KIND, changes)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(events)), max_size=6)) | {0, len(events)})
    batches = [events[start:end] for start, end in pairwise(cuts)]
    folds = data.draw(st.lists(st.booleans(), min_size=len(batches), max_size=len(batches)))

    async def scenario(folder: str) -> None:
        async with Store(Path(folder) / "p", [EVERY_KIND]) as store:
            for batch, is_folded in zip(batches, folds, strict=True):
                await store.append(EVERY_KIND.name, batch)
                if is_folded:
                    await store.fold(EVERY_KIND.name)
            await store.fold(EVERY_KIND.name)
            found = await snapshot_of(store, EVERY_KIND)
        assert exactly(found) == exactly(
            [(seq, row) for seq, _, row in rows_after(events).values()]
        )

    with TemporaryDirectory() as folder:
        asyncio.run(scenario(folder))
