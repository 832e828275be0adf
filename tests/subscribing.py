"""Builders for tests of readers: events as ingest makes them, an outlet, snapshots, a channel."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from eventhub.audit.history import Page, Version
from eventhub.background import background
from eventhub.channel import Channel
from eventhub.delivery.broadcast import Broadcast, Sink
from eventhub.delivery.frames import Form
from eventhub.delivery.live_channel import LiveChannel
from eventhub.delivery.outlet import Stalled
from eventhub.delivery.start import Start
from eventhub.delivery.subscriber import Subscriber
from eventhub.delivery.view import View
from eventhub.demand import Demand
from eventhub.errors import Conflict, EventHubError
from eventhub.event import Event, StoredEvent, encode
from eventhub.feed import Feed
from eventhub.filters.query import Query, parse
from eventhub.ingest.command import Command
from eventhub.ingest.draft import Draft
from eventhub.memory import MemoryStream
from eventhub.memory_signals import MemorySignals
from eventhub.snapshots import Render, RowHead, Snapshot
from tests import builders

Frame = dict[str, Any]
Table = dict[str, dict[str, Any]]
Matches = Callable[[Mapping[str, Any]], bool]
DEADLINE_SECONDS = 40.0


# --- Events ------------------------------------------------------------------------------------


def event_of(raw: Mapping[str, Any], last: StoredEvent | None, channel: Channel) -> Event:
    """Return the event that ingest makes of a message after the row's last event."""
    command = Command.parse(dict(raw))
    message = channel.columns.convert(command.message)
    draft = Draft(
        command=command,
        id=message["id"],
        time="2026-11-23T10:00:00.000000Z",
        endpoint="chat",
        user=None,
        message={key: value for key, value in message.items() if not key.startswith("_")},
        broadcast=None,
    )
    return draft.event_after(last, channel.columns)


def history(messages: Iterable[Mapping[str, Any]], channel: Channel) -> list[StoredEvent]:
    """Return the events of messages, without those that ingest refuses (PUT of no row…)."""
    last: dict[str, StoredEvent] = {}
    events: list[StoredEvent] = []
    for raw in messages:
        try:
            payload = encode(event_of(raw, last.get(raw["id"]), channel))
        except Conflict:
            continue
        stored = StoredEvent.read(len(events) + 1, payload, channel.columns)
        events.append(stored)
        last[stored.event.id] = stored
    return events


async def append(stream: MemoryStream, **raw: Any) -> int:
    """Append the event of an acceptable message; return its sequence."""
    last = await stream.last(raw["id"])
    event = event_of(raw, last, stream.channel)
    return (await stream.append(event, expect=last.sequence if last else 0)).sequence


async def append_every_tenth(stream: MemoryStream, count: int) -> None:
    """Append rows of which every tenth has the text `a`, and the others `b`."""
    for number in range(1, count + 1):
        await append(stream, id=f"{number}", text="a" if number % 10 == 0 else "b")


def tables(events: Iterable[StoredEvent], matches: Matches = lambda row: True) -> dict[int, Table]:
    """The slow, obvious oracle: the rows that match after each sequence, 0 included.

    Rows are in order of creation.
    """
    rows: Table = {}
    found: dict[int, Table] = {0: {}}
    for stored in events:
        if stored.event.row is None:
            del rows[stored.event.id]
        else:
            rows[stored.event.id] = stored.event.row  # keeps the order of creation
        found[stored.sequence] = {key: row for key, row in rows.items() if matches(row)}
    return found


def apply(table: Table, frame: Frame, channel: Channel) -> None:
    """Apply a frame to a client's table."""
    row = {key: value for key, value in frame.items() if key in channel.columns}
    match frame.get("_method", "POST"):
        case "POST":
            assert frame["id"] not in table, f"sent twice: {frame}"
            table[frame["id"]] = {**{c.name: c.default for c in channel.columns}, **row}
        case "PUT":
            table[frame["id"]].update(row)
        case method:
            assert method == "DELETE"
            del table[frame["id"]]


# --- Wires -------------------------------------------------------------------------------------


def parse_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Return (opcode, payload) of whole, final, unmasked frames, as RFC 6455 5.2 draws them."""
    frames, at = [], 0
    while at < len(data):
        first, size = data[at], data[at + 1]
        assert first & 0xF0 == 0x80, "FIN is set, the reserved bits are not"
        assert size < 128, "no mask"
        at += 2
        if size == 126:
            (size,) = struct.unpack_from(">H", data, at)
            assert size > 125, "the shortest form"
            at += 2
        elif size == 127:
            (size,) = struct.unpack_from(">Q", data, at)
            assert size > 0xFFFF, "the shortest form"
            at += 8
        assert at + size <= len(data), "the frame is whole"
        frames.append((first & 0x0F, data[at : at + size]))
        at += size
    return frames


def singly(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Iterate over frames of v2 as over those of v1: the elements of their arrays."""
    for frame in frames:
        for row in frame.get("_rows", ()):
            assert row["_created"] <= row["_seq"]
            yield {"_method": "POST", **row}
        yield from frame.get("_changes", ())
        yield from frame.get("_sent", ())
        if not frame.keys() & {"_rows", "_changes", "_sent"}:
            yield frame


class _Transport(asyncio.WriteTransport):
    def __init__(self, write: Callable[[bytes], None]) -> None:
        super().__init__()
        self._write = write

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._write(bytes(data))


def sink_by(write: Callable[[bytes], None]) -> Sink:
    """Return the sink of a client without a socket."""
    return Sink(_Transport(write))


class Pipe:
    """An outlet to a client that takes bytes when the test says so."""

    def __init__(self, capacity: int = 1 << 30) -> None:
        self.capacity = capacity
        self.taken = b""
        self.pings = 0
        self.failure: EventHubError | None = None
        self.is_closing = False
        self.is_stalled = False
        self.most_unsent = 0
        self._unsent = b""
        self._changed = asyncio.Event()
        self.on_full: Callable[[], None] = lambda: None
        self.sink = sink_by(self.write)

    @property
    def is_full(self) -> bool:
        return len(self._unsent) > self.capacity

    def write(self, data: bytes) -> None:
        self._unsent += data
        self.most_unsent = max(self.most_unsent, len(self._unsent))
        if self.is_full:
            self.on_full()

    def push(self, data: bytes) -> None:
        if not self.is_closing:
            self.write(data)

    def ping(self) -> None:
        self.pings += 1

    async def drain(self) -> None:
        while self.is_full:
            if self.is_stalled:
                raise Stalled("takes nothing")
            if self.is_closing:
                raise ConnectionResetError("gone")
            self._changed.clear()
            await self._changed.wait()

    async def fail(self, error: EventHubError) -> None:
        self.failure = error
        self.close()

    def close(self) -> None:
        self.is_closing = True
        self.on_full()
        self._changed.set()

    def stall(self) -> None:
        self.is_stalled = True
        self._changed.set()

    def take(self, size: int | None = None) -> None:
        """The client reads."""
        size = len(self._unsent) if size is None else size
        self.taken += self._unsent[:size]
        self._unsent = self._unsent[size:]
        self._changed.set()

    @property
    def frames(self) -> list[Frame]:
        """Everything written so far, taken or not, decoded; each row and event of an array."""
        decoded = parse_frames(self.taken + self._unsent)
        assert {opcode for opcode, _ in decoded} <= {1}
        return list(singly(msgspec.json.decode(payload) for _, payload in decoded))


# --- Readers -----------------------------------------------------------------------------------


class MemorySnapshots:
    """Snapshots of a stream as it is when they are opened, with two rows in each part or page."""

    def __init__(self, stream: MemoryStream) -> None:
        self._stream = stream
        self.gate = asyncio.Semaphore(1 << 30)
        """One permit for each part that a reader gets."""
        self.opening = asyncio.Event()
        """Snapshots wait for it to be set before they open."""
        self.opening.set()
        self.is_complete = True
        """Whether snapshots that are opened count as complete."""
        self.opened = self.closed = 0
        """How many snapshots were opened, and how many of them were closed."""
        self.waiting = 0
        """How many were asked for."""
        self.error: Exception | None = None
        """Raised instead of opening a snapshot."""
        self.part_bytes = 0
        """Parts are cut after so many bytes, wherever that is; 0: after two rows."""

    def sequence_of(self, channel: str) -> int:
        assert channel == self._stream.channel.name
        return self._stream.length

    @asynccontextmanager
    async def read(
        self,
        channel: str,
        query: Query,
        render: Render,
        *,
        row_head: RowHead,
        at_least: int,
        client: Hashable = None,
    ) -> AsyncIterator[Snapshot]:
        assert channel == self._stream.channel.name
        if self.error is not None:
            raise self.error
        assert self._stream.length >= at_least
        self.waiting += 1
        await self.opening.wait()
        self.opened += 1
        events = [self._stream.at(n + 1) for n in range(self._stream.length)]
        rows = _rows(events, query, row_head)
        try:
            snapshot = _Snapshot(
                rows, len(events), render, self.gate, time.monotonic() if self.is_complete else None
            )
            if self.part_bytes:
                snapshot.cut(self.part_bytes)
            yield snapshot
        finally:
            self.closed += 1

    async def versions(
        self, channel: str, row_id: str, *, after: int, up_to: int, client: Hashable = None
    ) -> Page:
        assert channel == self._stream.channel.name
        events = [self._stream.at(sequence) for sequence in range(after + 1, up_to + 1)]
        found = [_version(stored) for stored in events if stored.event.id == row_id]
        return Page(found[:2], is_last=len(found) <= 2)


def _version(stored: StoredEvent) -> Version:
    event = stored.event
    return Version(
        sequence=stored.sequence,
        time=event.time,
        method=event.method,
        user=event.user,
        endpoint=event.endpoint,
        row=event.row,
    )


def _rows(events: list[StoredEvent], query: Query, row_head: RowHead) -> list[bytes]:
    last = {stored.event.id: stored for stored in events}
    table = tables(events, query.filter.matches)[len(events)]
    return [
        msgspec.json.encode(
            _head_of(last[key], row_head) | {name: row[name] for name in query.columns}
        )
        for key, row in table.items()
    ]


def _head_of(stored: StoredEvent, row_head: RowHead) -> dict[str, Any]:
    heads: dict[RowHead, dict[str, Any]] = {
        RowHead.NONE: {},
        RowHead.SEQUENCED: {"_method": "POST", "_seq": stored.sequence},
        RowHead.PLACED: {"_seq": stored.sequence, "_created": stored.created},
    }
    return heads[row_head]


class _Snapshot:
    def __init__(
        self,
        rows: list[bytes],
        sequence: int,
        render: Render,
        gate: asyncio.Semaphore,
        completed_at: float | None,
    ) -> None:
        self.sequence = sequence
        self._parts = [render(rows[start : start + 2]) for start in range(0, len(rows), 2)]
        self._gate = gate
        self.size = sum(map(len, self._parts))
        self.completed_at = completed_at

    def cut(self, size: int) -> None:
        data = b"".join(self._parts)
        self._parts = [data[at : at + size] for at in range(0, len(data), size)]

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncIterator[bytes]]:
        yield self._iterate()

    async def _iterate(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            await self._gate.acquire()
            yield part


class Reading:
    """A live channel over a stream in memory, and its subscribers."""

    form = Form.V1
    """Of views, unless they name one."""

    def __init__(
        self, stream: MemoryStream, snapshots: "MemorySnapshots", channel: LiveChannel
    ) -> None:
        self.stream = stream
        self.snapshots = snapshots
        self.channel = channel
        self.feed = channel.feed
        self.fanout = channel.fanout

    def view(self, form: Form | None = None, *, history: bool = False, **args: Any) -> View:
        query = parse(args, self.stream.channel.columns)
        return View(form or self.form, query, history=history, epoch=self.stream.epoch)

    def subscribe(
        self, pipe: Pipe, view: View | None = None, start: Start | None = None
    ) -> Subscriber:
        subscriber = Subscriber(view or self.view(), self.channel, pipe)
        start = start or Start(position=None, head=self.feed.head)
        subscriber.start(start)
        return subscriber

    async def joined(
        self, pipe: Pipe, view: View | None = None, start: Start | None = None
    ) -> Subscriber:
        """Subscribe, and return when the subscriber is up to date."""
        subscriber = self.subscribe(pipe, view, start)
        await eventually(lambda: self.fanout.is_attached(subscriber))
        return subscriber

    async def write(self, **raw: Any) -> int:
        """Append an event, and return its sequence when it has been handed out."""
        sequence = await append(self.stream, **raw)
        await self.feed.reached(sequence, DEADLINE_SECONDS)
        return sequence


@asynccontextmanager
async def reading(
    *,
    heartbeat: float = 3600,
    ring_bytes: int = 1 << 20,
    stream: MemoryStream | None = None,
    after: int = 0,
    demand: Demand | None = None,
) -> AsyncIterator[Reading]:
    """Run a live channel; `ring_bytes` bounds its ring, `demand` says when its feed rests."""
    stream = stream or MemoryStream(builders.channel())
    feed = Feed(stream, after, ring_bytes, demand)
    snapshots = MemorySnapshots(stream)
    async with background() as tasks:
        live = LiveChannel(feed, snapshots, Broadcast(), heartbeat, tasks, MemorySignals())
        tasks.start(feed.run(), name="feed")
        tasks.start(live.fanout.run(), name="fanout")
        await asyncio.sleep(0)
        yield Reading(stream, snapshots, live)


async def eventually(condition: Callable[[], object]) -> None:
    """Return when a condition holds."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.001)


async def turns(count: int) -> None:
    """Let all other tasks run, a number of times."""
    for _ in range(count):
        await asyncio.sleep(0)
