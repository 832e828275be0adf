"""Builders for tests of the projection: histories of a channel, and the rows that they fold to."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.event import Event, StoredEvent, encode
from eventhub.filters.query import Query, parse
from eventhub.memory import MemoryStream
from eventhub.methods import Method
from eventhub.snapshots import RowHead, Snapshot, Snapshots
from eventhub.stream import EventStream
from projections.listing import StoreListing
from projections.store import Store
from projections.verify import Difference, Report, verify

Change = tuple[Method, str, Mapping[str, Any]]
"""What one event does: method, id, and the values of the columns it sets."""
Row = dict[str, Any]

EVERY_KIND = Channel(
    'every "kind"',
    Columns([Column(f'a {kind.name} "column"\'s', kind) for kind in Kind]),
)


DECIMAL = f'a {Kind.DECIMAL.name} "column"\'s'
"""The column of numbers that are text in an event."""


def history(channel: Channel, changes: Iterable[Change], *, first: int = 1) -> list[StoredEvent]:
    """Return the events of changes, without those that make no sense (PUT of no row…)."""
    rows: dict[str, Row] = {}
    created: dict[str, int] = {}
    events: list[StoredEvent] = []
    for method, row_id, values in changes:
        if (method == "POST") == (row_id in rows):
            continue
        sequence = first + len(events)
        before = rows.pop(row_id, None)
        row = {**(before or channel.columns.new_row({"id": row_id})), **values}
        if method != "DELETE":
            rows[row_id] = row
        if method == "POST":
            created[row_id] = sequence
        event = Event(
            method=method,
            id=row_id,
            time=f"2026-11-23T10:00:00.{sequence % 10**6:06}Z",
            endpoint="chat",
            columns=channel.columns.signature,
            write=f"w{sequence}",
            created=0 if method == "POST" else created[row_id],
            message={"id": row_id, **values},
            row=rows.get(row_id),
            was=before,
        )
        events.append(StoredEvent(sequence, event, encode(event)))
    return events


def rows_after(events: Iterable[StoredEvent]) -> dict[str, tuple[int, int, Row]]:
    """The slow, obvious fold: `(_seq, _created_seq, row)` by id, in order of creation."""
    rows: dict[str, tuple[int, int, Row]] = {}
    for stored in events:
        rows.pop(stored.event.id, None)
        if stored.event.row is not None:
            rows[stored.event.id] = (stored.sequence, stored.created, stored.event.row)
    return dict(sorted(rows.items(), key=lambda item: item[1][1]))


def query(channel: Channel, **args: list[str]) -> Query:
    """Return the query that arguments of a URL mean."""
    return parse(args, channel.columns)


def lines(rows: list[bytes]) -> bytes:
    """Render rows as lines, which `rows_of` reads."""
    return b"".join(row + b"\n" for row in rows)


def opened(
    snapshots: Snapshots, channel: Channel, asked: Query | None = None, *, at_least: int = 0
) -> AbstractAsyncContextManager[Snapshot]:
    """Open a snapshot for `read_all`; without a query, of all rows."""
    asked = asked or query(channel)
    return snapshots.read(channel.name, asked, lines, row_head=RowHead.SEQUENCED, at_least=at_least)


async def read_all(snapshot: Snapshot) -> list[tuple[int, Row]]:
    """Return the rows of a snapshot, parsed, with their sequences."""
    async with snapshot.reading() as parts:
        return rows_of(b"".join([part async for part in parts]))


def _value_of(name: str, raw: msgspec.Raw) -> Any:
    """Return a value as an event has it: of a DECIMAL the digits, as text."""
    value = msgspec.json.decode(raw)
    is_number = isinstance(value, int | float) and name == DECIMAL
    return bytes(raw).decode() if is_number else value


def rows_of(data: bytes) -> list[tuple[int, Row]]:
    """Return rendered rows, parsed as the events have them, with their sequences."""
    rows: list[Row] = [
        {name: _value_of(name, value) for name, value in raw.items()}
        for raw in map(msgspec.json.Decoder(dict[str, msgspec.Raw]).decode, data.splitlines())
    ]
    assert all(row.pop("_method") == "POST" for row in rows)
    return [(row.pop("_seq"), row) for row in rows]


async def write(stream: MemoryStream, events: Iterable[StoredEvent]) -> None:
    """Append the events of a history, which keep their sequences."""
    for stored in events:
        last = await stream.last(stored.event.id)
        appended = await stream.append(stored.event, expect=last.sequence if last else 0)
        assert appended.sequence == stored.sequence


async def proved(store: Store, stream: EventStream) -> tuple[Report, list[Difference]]:
    """Compare the tables of a stream's channel with it."""
    found: list[Difference] = []
    async with StoreListing.open(store, stream.channel.name) as listing:
        report = await verify(listing, stream, found.append, lambda _reached, _last: None)
    assert report.different == len(found)
    return report, found
