"""After any events, the table of a channel is their fold, and its JSON is that of the rows."""

import asyncio
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import projections.history
import projections.pages
from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.event import StoredEvent, encode
from eventhub.filters.sql import quoted
from eventhub.memory import MemoryStream
from projections.pages import row_json
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Connection, Store
from projections.tables import Tables
from tests.examples import examples
from tests.projecting import EVERY_KIND, Change, Row, history, opened, read_all, rows_after
from tests.values import TEXT, VALUES, values

DECLARED = [column for column in EVERY_KIND.columns if column.name not in ("id", "user")]
SOME = st.fixed_dictionaries({}, optional={column.name: values(column) for column in DECLARED})
CHANGES: st.SearchStrategy[list[Change]] = st.lists(
    st.tuples(st.sampled_from(["POST", "PUT", "DELETE"]), st.sampled_from("abcd"), SOME),
    max_size=40,
)


def exactly(rows: list[tuple[int, Row]]) -> str:
    """Return a text that distinguishes 1, 1.0 and true, 0.0 and -0.0, and orders of keys."""
    return repr(rows)


async def snapshot_of(store: Store, channel: Channel) -> list[tuple[int, Row]]:
    snapshots = DuckSnapshots(store, [Projector(store, MemoryStream(channel))])
    async with opened(snapshots, channel) as snapshot:
        return await read_all(snapshot)


@settings(max_examples=examples(30), deadline=None)
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


@settings(
    max_examples=examples(50),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(CHANGES, st.sampled_from([1, 1 << 20, 1 << 30]), st.integers(1, 5), st.data())
def test_any_batches_folds_and_pages_give_the_same_table(
    monkeypatch: pytest.MonkeyPatch,
    changes: list[Change],
    shares: int,
    bucket: int,
    data: st.DataObject,
) -> None:
    monkeypatch.setattr(projections.pages, "SHARES", shares)
    monkeypatch.setattr(projections.pages, "BUCKET", bucket)
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


PAIRS = [(old, new) for old in Kind for new in Kind if old is not new]


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.sampled_from(PAIRS), min_size=4, max_size=8), st.data())
def test_values_of_a_changed_type_are_the_same_in_the_table_and_in_the_events(
    pairs: list[tuple[Kind, Kind]], data: st.DataObject
) -> None:
    """The projector and the followers read one old event: both have it as today's columns do."""
    old, new = (
        Channel("changed", Columns(Column(f"c{n}", pair[at]) for n, pair in enumerate(pairs)))
        for at in (0, 1)
    )
    row = {
        name: data.draw(VALUES[kind].map(old.columns[name].convert))
        for name, (kind, _) in zip(old.columns.names, pairs, strict=False)
    }
    [written] = history(old, [("POST", "a", row)])
    lifted = StoredEvent.read(1, written.payload, new.columns)
    assert StoredEvent.read(1, lifted.payload, new.columns).event == lifted.event

    async def scenario(folder: str) -> None:
        async with Store(Path(folder) / "p", [new]) as store, store.reader() as reader:
            await store.append("changed", [lifted])
            await store.fold("changed")
            sql = f"SELECT {row_json(Tables(new), new.columns.names)} FROM changed"
            [(text,)] = await store.read(reader, lambda c: c.execute(sql).fetchall())
        assert repr(msgspec.json.decode(text)) == repr(lifted.event.row)

    with TemporaryDirectory() as folder:
        asyncio.run(scenario(folder))


def as_event(kind: Kind, value: Any) -> Any:
    """Return what DuckDB holds in a column as an event holds it."""
    if kind is Kind.JSON and value is not None:
        return msgspec.json.decode(value)
    if kind is Kind.TIMESTAMPTZ and value is not None:
        return value.isoformat() + "Z"
    return value.isoformat() if isinstance(value, date) else value


def fetched(column: Column) -> str:
    """Return the SQL of a column, as what Python can hold without a library of time zones."""
    name = quoted(column.name)
    if column.kind is Kind.DECIMAL:
        return f"CAST({name} AS VARCHAR)"
    return f"make_timestamp(epoch_us({name}))" if column.kind is Kind.TIMESTAMPTZ else name


def history_of(connection: Connection) -> list[tuple[Any, ...]]:
    """Return the history as the events say it."""
    columns = EVERY_KIND.columns
    names = ", ".join(["_method", "_user", "_endpoint", *map(fetched, columns)])
    found = connection.execute(
        f"SELECT _seq, _created_seq, _time, {names} FROM {Tables(EVERY_KIND).history}"
    ).fetchall()
    return [
        (*row[:6], *(as_event(c.kind, v) for c, v in zip(columns, row[6:], strict=True)))
        for row in found
    ]


def told_by(stored: StoredEvent) -> tuple[Any, ...]:
    """Return the row of history that an event means, by decoding it in Python."""
    event = stored.event
    row = {"id": event.id} if event.row is None else event.row
    time = datetime.fromisoformat(event.time.removesuffix("Z"))
    fixed = (stored.sequence, stored.created, time, event.method, event.user, event.endpoint)
    return (*fixed, *(row.get(name) for name in EVERY_KIND.columns.names))


EXTREMES: dict[Kind, list[Any]] = {
    Kind.TEXT: [
        "",
        "\0",
        "null",
        '"\\',
        "\u2028\u2029",
        "\U0001f600e\u0301",
        "\x7f\x80\t\n",
        "1.0",
    ],
    Kind.INTEGER: [-(2**63), 2**63 - 1, 2**53 + 1, 0, -1],
    Kind.REAL: [-0.0, 0.0, 1.0, 0.1, 5e-324, 2.5e-310, 1e16, 1e22, 1e308, -1.7976931348623157e308],
    Kind.DECIMAL: ["9" * 28 + "." + "9" * 10, "-0.0000000001", "0.0000000000", "0.1000000000"],
    Kind.BOOLEAN: [True, False],
    Kind.DATE: ["0001-01-01", "9999-12-31", "1582-10-10", "2024-02-29"],
    Kind.TIMESTAMP: [
        "0001-01-01T00:00:00",
        "9999-12-31T23:59:59.999999",
        "1969-12-31T23:59:59.000001",
        "2026-11-23T10:00:00.120000",
    ],
    Kind.TIMESTAMPTZ: [
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "1969-12-31T23:59:59.000001Z",
        "2026-11-23T10:00:00Z",
    ],
    Kind.JSON: [
        *(
            "text",
            "1",
            "null",
            "\0\x1f",
            '"\\',
            "\u2028",
            True,
            0,
            1,
            1.0,
            -0.0,
            5e-324,
            1e16,
            1e22,
            1e308,
        ),
        *(
            -(2**63),
            2**64 - 1,
            [],
            {},
            [None, {"": [1, 1.0]}],
            {"a.b": {'"': None}, "A": 1, "a": 2},
        ),
        ["x" * 100_000],
    ],
}
EXTREME_ROWS = [
    {column.name: values[n % len(values)]}
    for column in DECLARED
    for values in [EXTREMES[column.kind]]
    for n in range(len(values))
]
EXTREME: list[Change] = [
    *(("POST", f"r{n}", row) for n, row in enumerate(EXTREME_ROWS)),
    *(("DELETE", f"r{n}", {}) for n in range(len(EXTREME_ROWS))),
]
"""Each value by itself in a row, and all rows deleted."""


async def check_history(events: list[StoredEvent], folder: str) -> None:
    """Store events, and compare the history with what they say."""
    async with Store(Path(folder) / "p", [EVERY_KIND]) as store, store.reader() as reader:
        await store.append(EVERY_KIND.name, events)
        found = await store.read(reader, history_of)
    assert repr(found) == repr([told_by(stored) for stored in events])


@pytest.mark.parametrize("rows_as_parameters", [0, 1000])
async def test_the_history_holds_extreme_values_exactly(
    rows_as_parameters: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections.history, "MAX_ROWS_AS_PARAMETERS", rows_as_parameters)
    await check_history(history(EVERY_KIND, EXTREME), str(tmp_path))


FULL = st.fixed_dictionaries({column.name: values(column) for column in DECLARED})


@pytest.mark.parametrize("rows_as_parameters", [0, 1000])
@settings(max_examples=examples(15), deadline=None)
@given(
    st.lists(st.tuples(st.just("POST") | st.just("PUT"), st.sampled_from("ab"), FULL), min_size=9),
    st.none() | TEXT,
    TEXT,
)
def test_the_history_holds_all_events_in_their_order(
    rows_as_parameters: int, changes: list[Change], user: str | None, endpoint: str
) -> None:
    events = [
        StoredEvent.read(
            stored.sequence,
            encode(msgspec.structs.replace(stored.event, user=user, endpoint=endpoint)),
            EVERY_KIND.columns,
        )
        for stored in history(EVERY_KIND, [("POST", "a", {}), ("POST", "b", {}), *changes])
    ]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(projections.history, "MAX_ROWS_AS_PARAMETERS", rows_as_parameters)
        asyncio.run(check_history(events, folder))
