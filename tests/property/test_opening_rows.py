"""A client gets as rows, unchanged, everything that was acknowledged before it came.

That holds even if it shares the snapshot of an earlier client, in every form and over HTTP.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventhub.background import background
from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.delivery import replay as module
from eventhub.delivery.broadcast import Broadcast
from eventhub.delivery.frames import Form
from eventhub.delivery.live_channel import LiveChannel
from eventhub.delivery.replay import RowFormat
from eventhub.delivery.start import start_of
from eventhub.delivery.subscriber import Subscriber
from eventhub.delivery.view import View
from eventhub.errors import Conflict
from eventhub.event import encode
from eventhub.feed import Feed
from eventhub.filters.query import parse
from eventhub.memory import MemoryStream
from eventhub.memory_signals import MemorySignals
from eventhub.metrics import SNAPSHOTS
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.examples import examples
from tests.subscribing import Frame, Pipe, event_of, eventually, tables

CHANNEL = Channel("chat", Columns([Column("text"), Column("votes", Kind.INTEGER)]))
MESSAGES = [
    {"_method": method, "id": row_id, "text": text, "votes": votes}
    for method in ("POST", "POST", "PUT", "DELETE")
    for row_id in "1234"
    for text, votes in [("a", 1), ("a", 2), ("b", None), ("b", 3)]
]
QUERIES: list[dict[str, list[str]]] = [
    {},
    {},
    {"text": ["a"]},
    {"votes>": ["1"]},
    {"_c": ["votes", "id"]},
    {"_sort": ["-votes"], "_limit": ["2"]},
    {"text": ["a"], "_limit": ["1"], "_offset": ["1"]},
    {"_offset": ["1"]},
]
FORMS = [Form.BARE, Form.V1, Form.V2, Form.SSE, None]
"""None stands for a GET."""


class Hub:
    """A channel whose rows are in DuckDB, and whose log is in memory."""

    def __init__(self, stream: MemoryStream, channel: LiveChannel) -> None:
        self.stream = stream
        self.channel = channel

    async def write(self, raw: Mapping[str, Any]) -> None:
        """Append the event of a message, if there is one; `modify` sends others another text."""
        last = await self.stream.last(raw["id"])
        try:
            event = event_of(raw, last, CHANNEL)
        except Conflict:
            return
        broadcast = {**event.message, "text": "modified"}
        event = msgspec.structs.replace(event, broadcast=broadcast)
        assert encode(event)
        await self.stream.append(event, expect=last.sequence if last else 0)

    def view(self, form: Form | None, args: dict[str, list[str]]) -> View:
        query = parse(args, CHANNEL.columns)
        return View(form or Form.BARE, query, history=False, epoch=self.stream.epoch)

    async def opening(self, form: Form | None, args: dict[str, list[str]]) -> list[Frame]:
        """Return everything that a client gets that comes now, until it is up to date."""
        view = self.view(form, args)
        if form is None:
            return await self.got(view)
        pipe = Sse() if form is Form.SSE else Pipe()
        subscriber = Subscriber(view, self.channel, pipe)
        subscriber.start(await start_of(None, view, self.channel))
        await eventually(lambda: self.channel.fanout.is_attached(subscriber))
        subscriber.stop()
        return pipe.frames

    async def got(self, view: View) -> list[Frame]:
        row_format = RowFormat("lines", lambda rows: b"".join(row + b"\n" for row in rows))
        head = (await self.channel.bounds.read()).last
        async with self.channel.replays.open(view, head, row_format=row_format) as past:
            assert past.sequence >= head
            data = b"".join([part async for part in past.parts()])
        return [msgspec.json.decode(line) for line in data.splitlines()]

    def rows(self, args: dict[str, list[str]]) -> list[dict[str, Any]]:
        """The slow, obvious oracle."""
        query = parse(args, CHANNEL.columns)
        events = [self.stream.at(number + 1) for number in range(self.stream.length)]
        rows = list(tables(events, query.filter.matches)[len(events)].values())
        for name, descending in reversed(query.sort):
            rows.sort(key=lambda row: row[name] or -1, reverse=descending)
        end = None if query.limit is None else query.offset + query.limit
        return [{name: row[name] for name in query.columns} for row in rows[query.offset : end]]


class Sse(Pipe):
    """The outlet of a stream of server-sent events."""

    @property
    def frames(self) -> list[Frame]:
        lines = (self.taken + self._unsent).splitlines()
        return [msgspec.json.decode(line[6:]) for line in lines if line.startswith(b"data: ")]


@asynccontextmanager
async def hub_in(folder: str) -> AsyncIterator[Hub]:
    stream = MemoryStream(CHANNEL)
    feed = Feed(stream, 0)
    async with Store(Path(folder) / "p", [CHANNEL]) as store, background() as tasks:
        projector = Projector(store, stream)
        snapshots = DuckSnapshots(store, [projector])
        live = LiveChannel(feed, snapshots, Broadcast(), 3600, tasks, MemorySignals())
        for work in (feed.run(), live.fanout.run(), projector.run()):
            tasks.start(work, name="hub")
        await asyncio.sleep(0)
        yield Hub(stream, live)


def check(form: Form | None, frames: list[Frame], expected: list[dict[str, Any]]) -> None:
    """Everything is a row: in a bare form there is no `_method` at all, in the others no PUT."""
    if form in (Form.V1, Form.V2, Form.SSE):
        *frames, ready = frames
        assert "_ready" in ready
        assert all(frame.pop("_method") == "POST" and frame.pop("_seq") for frame in frames)
        order = [frame.pop("_created", 0) for frame in frames]
        assert form is not Form.V2 or all(order)
    assert frames == expected
    assert [list(frame) for frame in frames] == [list(row) for row in expected]


@settings(max_examples=examples(30), deadline=None)
@given(
    before=st.lists(st.sampled_from(MESSAGES), max_size=8),
    between=st.lists(st.lists(st.sampled_from(MESSAGES), max_size=3), min_size=1, max_size=4),
    args=st.sampled_from(QUERIES),
    form=st.sampled_from(FORMS),
)
def test_writes_acknowledged_before_a_client_came_are_sent_as_rows(
    before: list[Frame], between: list[list[Frame]], args: dict[str, list[str]], form: Form | None
) -> None:
    async def scenario(folder: str) -> None:
        async with hub_in(folder) as hub:
            for messages in [before, *between]:
                for raw in messages:
                    await hub.write(raw)
                check(form, await hub.opening(form, args), hub.rows(args))

    with TemporaryDirectory() as folder:
        asyncio.run(scenario(folder))


@pytest.mark.parametrize("form", FORMS, ids=str)
async def test_clients_that_come_between_writes_share_a_snapshot_and_get_rows(
    form: Form | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New rows are appended to an existing snapshot; it is not made again."""
    monkeypatch.setattr(module, "JOINABLE_SECONDS", 3600.0)
    before = SNAPSHOTS.labels("chat")._value.get()
    async with hub_in(str(tmp_path)) as hub:
        for number in range(50):
            await hub.write({"_method": "POST", "id": f"r{number}", "text": "a"})
            openings = await asyncio.gather(*[hub.opening(form, {}) for _ in range(3)])
            for frames in openings:
                check(form, frames, hub.rows({}))
    assert SNAPSHOTS.labels("chat")._value.get() == before + 1
