"""What is exported is the log's events, each once, in types and files that others read."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.csv
import pyarrow.dataset
import pyarrow.ipc
import pyarrow.parquet
import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Digits, Kind
from eventhub.errors import Misconfigured, Rejected, Unavailable
from eventhub.event import SealedEvent
from eventhub.memory import MemoryStream
from projections import backlog, export
from projections.export import export_events, export_events_to_file
from projections.manifest import Scope, claimed, load
from tests.projecting import Change, history, write

CHAT = Channel(
    "chat room",
    Columns(
        [
            Column("text"),
            Column("votes", Kind.INTEGER),
            Column("price", Kind.DECIMAL, digits=Digits(12, 2)),
            Column("share", Kind.REAL),
            Column("done", Kind.BOOLEAN),
            Column("due", Kind.DATE),
            Column("at", Kind.TIMESTAMP),
            Column("seen", Kind.TIMESTAMPTZ),
            Column("tags", Kind.JSON),
        ]
    ),
)
FULL = {
    "text": '=1+1, "quoted"\nand é',
    "votes": 2**62 + 1,
    "price": "1234567890.05",
    "share": 0.1,
    "done": False,
    "due": "2026-02-28",
    "at": "2026-02-28T23:59:59.000001",
    "seen": "2026-02-28T23:59:59Z",
    "tags": {"a": [1, None, "x"]},
}
CHANGES: list[Change] = [
    ("POST", "full", FULL),
    ("POST", "empty", {"text": ""}),
    ("PUT", "full", {"text": None, "votes": None}),
    ("DELETE", "empty", {}),
    ("POST", "again", {"text": "again", "votes": 3}),
]


def scope(format_: str = "parquet", **more: Any) -> Scope:
    return Scope(table=CHAT.name, what="events", format=format_, **more)


def told(reached: int, last: int) -> None:
    """The progress is of no interest here."""


@pytest.fixture
async def stream() -> MemoryStream:
    filled = MemoryStream(CHAT)
    await write(filled, history(CHAT, CHANGES))
    return filled


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob("day=*/*")}


def parquet(folder: Path) -> list[tuple[Any, ...]]:
    """What a folder holds, by an engine that knows nothing of the hub."""
    sql = f"SELECT _seq, _method, id FROM '{folder}/*/*.parquet' ORDER BY _seq"
    return duckdb.connect().execute(sql).fetchall()


EVENTS = [(1, "POST", "full"), (2, "POST", "empty"), (3, "PUT", "full"), (4, "DELETE", "empty")]
EVENTS.append((5, "POST", "again"))


async def test_parquet_has_the_types_of_the_columns(stream: MemoryStream, tmp_path: Path) -> None:
    manifest = await export_events(stream, scope(), tmp_path / "out", told)
    assert (manifest.complete, manifest.count, manifest.sequence) == (True, 5, 5)
    table = pyarrow.dataset.dataset(tmp_path / "out", exclude_invalid_files=True).to_table()
    first = table.to_pylist()[0]
    assert first["votes"] == FULL["votes"]
    assert first["price"] == Decimal("1234567890.05")
    assert first["done"] is False
    assert [str(first[name]) for name in ("due", "at", "seen")] == [
        "2026-02-28",
        "2026-02-28 23:59:59.000001",
        "2026-02-28 23:59:59+00:00",
    ]
    assert json.loads(first["tags"]) == FULL["tags"]
    assert {str(table.schema.field(name).type) for name in ("votes", "_seq")} == {"int64"}
    assert table["votes"].null_count == 3


@pytest.mark.parametrize("format_", ["parquet", "arrow", "ndjson", "csv", "cloudevents"])
async def test_no_format_loses_an_event_or_a_value(
    stream: MemoryStream, tmp_path: Path, format_: str
) -> None:
    path = tmp_path / "events"
    manifest = await export_events_to_file(stream, scope(format_), path, told)
    assert manifest.count == 5
    assert names(tmp_path) == ["events"]
    first, second, *_ = read(path, format_)
    assert {name: first[name] for name in FULL} == FULL
    assert (second["text"], second["votes"]) == ("", None)


def read(path: Path, format_: str) -> list[dict[str, Any]]:
    match format_:
        case "parquet":
            table = pyarrow.parquet.read_table(path)
        case "arrow":
            table = pyarrow.ipc.open_file(path).read_all()
        case "csv":
            options = pyarrow.csv.ConvertOptions(
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                column_types={
                    "price": pyarrow.decimal128(12, 2),
                    "seen": pyarrow.timestamp("us", "UTC"),
                },
            )
            table = pyarrow.csv.read_csv(
                path,
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
                convert_options=options,
            )
        case "ndjson":
            return [
                as_event(json.loads(line, parse_float=str))
                for line in path.read_text().splitlines()
            ]
        case _:
            events = json.loads(path.read_text(), parse_float=str)
            return [as_event(each["data"]["row"] or {}) for each in events]
    return [as_event(row) for row in table.to_pylist()]


def as_event(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of any format with values as an event has them."""
    columns = CHAT.columns
    told = {name: row.get(name) for name in FULL}
    if isinstance(told["tags"], str):
        told["tags"] = json.loads(told["tags"])
    return {
        name: columns[name].convert(value) if value != "" else "" for name, value in told.items()
    }


async def test_a_later_run_adds_what_is_new_and_nothing_else(
    stream: MemoryStream, tmp_path: Path
) -> None:
    await export_events(stream, scope(), tmp_path, told)
    before = stamps(tmp_path)
    with pytest.raises(Rejected, match="--continue adds what is new"):
        await export_events(stream, scope(), tmp_path, told)
    manifest = await export_events(stream, scope(), tmp_path, told, again=True)
    assert len(manifest.parts) == 1
    await write(stream, history(CHAT, [*CHANGES, ("POST", "new", {})])[5:])
    manifest = await export_events(stream, scope(), tmp_path, told, again=True)
    assert [part.count for part in manifest.parts] == [5, 1]
    assert parquet(tmp_path) == [*EVENTS, (6, "POST", "new")]
    assert before.items() <= stamps(tmp_path).items()


async def test_a_step_that_was_not_finished_is_done_again(
    stream: MemoryStream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "STEP_EVENTS", 1)
    monkeypatch.setattr(backlog, "BATCH_EVENTS", 1)
    cut = CutStream(stream, after=2)
    with pytest.raises(Unavailable):
        await export_events(cut, scope(), tmp_path, told)
    killed = load(tmp_path)
    assert killed is not None
    assert (killed.complete, killed.sequence) == (False, 2)
    # What a kill leaves between a file and the manifest that names it, and within a file.
    day = tmp_path / "day=2026-11-23"
    (day / "000000000003-000000000004.parquet").write_bytes(b"half")
    (day / ".000000000005-000000000005.parquet.partial").write_bytes(b"PAR1")
    (day / "notes.txt").write_text("mine")
    await export_events(stream, scope(), tmp_path, told)
    assert parquet(tmp_path) == EVENTS
    whole = load(tmp_path)
    assert whole is not None
    assert [part.file for part in whole.parts] == [
        f"day=2026-11-23/{name}" for name in names(day) if name != "notes.txt"
    ]


class CutStream(MemoryStream):
    """A log that ends in the middle of a reading."""

    def __init__(self, whole: MemoryStream, after: int) -> None:
        super().__init__(whole.channel)
        self.__dict__.update(whole.__dict__)
        self._after = after

    @asynccontextmanager
    async def follow_sealed(self, after: int) -> AsyncIterator[AsyncIterator[list[SealedEvent]]]:
        async with super().follow_sealed(after) as batches:
            yield self._cut(batches)

    async def _cut(
        self, batches: AsyncIterator[list[SealedEvent]]
    ) -> AsyncIterator[list[SealedEvent]]:
        async for batch in batches:
            for event in batch:
                if event.sequence > self._after:
                    raise Unavailable("cut")
                yield [event]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("votes>=5", [1, 3]),  # the old or the new row matches, as in the history
        ("text=again", [5]),
        ("text=again&votes=4", []),
    ],
)
async def test_events_are_chosen_by_the_filters_of_the_hub(
    stream: MemoryStream, tmp_path: Path, where: str, expected: list[int]
) -> None:
    await export_events_to_file(stream, scope(where=where), tmp_path / "x.parquet", told)
    found = pyarrow.parquet.read_table(tmp_path / "x.parquet")
    assert found["_seq"].to_pylist() == expected


async def test_events_are_chosen_by_time(stream: MemoryStream, tmp_path: Path) -> None:
    times = {"since": "2026-11-23T10:00:00.000002Z", "until": "2026-11-23T11:00:00.000004+01:00"}
    await export_events_to_file(stream, scope(**times), tmp_path / "x.parquet", told)
    found = pyarrow.parquet.read_table(tmp_path / "x.parquet")
    assert found["_seq"].to_pylist() == [2, 3]


@pytest.mark.parametrize(
    ("wrong", "code", "named"),
    [
        ({"where": "vote=3"}, "bad_filter", "did you mean votes"),
        ({"where": "votes=many"}, "bad_filter", "many"),
        ({"where": "text=a&_limit=3"}, "bad_filter", "_limit"),
        ({"since": "yesterday"}, "bad_request", "--since: 'yesterday' is no time"),
    ],
)
async def test_a_scope_that_cannot_be_understood_writes_nothing(
    stream: MemoryStream, tmp_path: Path, wrong: dict[str, str], code: str, named: str
) -> None:
    with pytest.raises(Rejected, match=named) as raised:
        await export_events(stream, scope(**wrong), tmp_path / "out", told)
    assert raised.value.code == code
    assert not (tmp_path / "out").exists()


async def test_a_folder_is_of_one_export_of_one_log(stream: MemoryStream, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "thesis.doc").write_text("mine")
    with pytest.raises(Rejected, match="has other files"):
        await export_events(stream, scope(), tmp_path / "others", told)
    await export_events(stream, scope(), tmp_path / "out", told)
    with pytest.raises(Rejected, match="format 'parquet', not 'csv'"):
        await export_events(stream, scope("csv"), tmp_path / "out", told)
    with pytest.raises(Rejected, match="created again"):
        await export_events(MemoryStream(CHAT), scope(), tmp_path / "out", told, again=True)
    with claimed(tmp_path / "out"), pytest.raises(Misconfigured, match="another export"):
        await export_events(stream, scope(), tmp_path / "out", told, again=True)
    assert parquet(tmp_path / "out") == EVENTS


async def test_a_file_that_cannot_be_written_leaves_the_one_before(
    stream: MemoryStream, tmp_path: Path
) -> None:
    path = tmp_path / "events.ndjson"
    await export_events_to_file(stream, scope("ndjson"), path, told)
    before = path.read_bytes()
    with pytest.raises(Unavailable):
        await export_events_to_file(CutStream(stream, after=2), scope("ndjson"), path, told)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["events.ndjson"]


async def test_a_column_that_came_later_is_in_the_newer_files(
    stream: MemoryStream, tmp_path: Path
) -> None:
    await export_events(stream, scope(), tmp_path, told)
    wider = MemoryStream(Channel(CHAT.name, Columns([*CHAT.columns, Column("extra")])))
    wider.__dict__.update({**stream.__dict__, "channel": wider.channel})
    await write(wider, history(wider.channel, [*CHANGES, ("POST", "new", {"extra": "x"})])[5:])
    await export_events(wider, scope(), tmp_path, told, again=True)
    sql = f"SELECT extra FROM read_parquet('{tmp_path}/*/*.parquet', union_by_name = true)"
    assert duckdb.connect().execute(f"{sql} ORDER BY _seq").fetchall()[-2:] == [(None,), ("x",)]


async def test_an_empty_table_is_a_file_of_no_rows(tmp_path: Path) -> None:
    for format_ in ("parquet", "arrow", "ndjson", "csv", "cloudevents"):
        path = tmp_path / format_
        manifest = await export_events_to_file(MemoryStream(CHAT), scope(format_), path, told)
        assert manifest.count == 0
        assert read(path, format_) == []
