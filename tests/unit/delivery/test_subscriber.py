"""A client gets everything exactly once, whatever happens while it reads, or the reason why not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from eventhub.delivery import subscriber as subscriber_module
from eventhub.delivery.frames import Form, text_frame
from eventhub.delivery.outlet import MAX_UNSENT_BYTES
from eventhub.delivery.start import Start, start_of
from eventhub.delivery.subscriber import Subscriber
from eventhub.errors import EventHubError, Unavailable
from eventhub.event import Position, StoredEvent
from eventhub.memory import MemoryStream
from tests.builders import channel
from tests.examples import examples
from tests.subscribing import (
    Frame,
    Pipe,
    Reading,
    Table,
    append,
    apply,
    eventually,
    reading,
    tables,
    turns,
)

CHANNEL = channel()


@pytest.fixture(autouse=True, params=[Form.V1, Form.V2], ids=lambda form: str(form.value))
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here is true in both subprotocols."""
    monkeypatch.setattr(Reading, "form", request.param)


def sequence_of(position: str) -> int:
    return Position.parse(position).sequence


def read(frames: list[Frame]) -> tuple[list[Frame], int, list[Frame]]:
    """Split what a client got: rows, the sequence of `_ready`, and what came after it."""
    [ready] = [number for number, frame in enumerate(frames) if "_ready" in frame]
    position = frames[ready]["_ready"]["position"]
    return frames[:ready], sequence_of(position), frames[ready + 1 :]


def check(frames: list[Frame], stream: MemoryStream, args: dict[str, list[str]]) -> None:
    """Compare what a client got with a fold of all events, at every sequence."""
    events = [stream.at(number + 1) for number in range(stream.length)]
    wanted = args.get("text")
    expected = tables(events, lambda row: wanted is None or row["text"] in wanted)
    rows, position, live = read(frames)
    held: Table = {}
    created: dict[str, int] = {}

    def take(frame: Frame) -> None:
        apply(held, frame, CHANNEL)
        if frame["_method"] == "POST":
            created[frame["id"]] = frame["_created"] if "_created" in frame else frame["_seq"]

    def check_order(number: int) -> None:
        if Reading.form is Form.V2:  # each row says where its place is
            assert sorted(held, key=created.__getitem__) == [*expected[number]]

    for frame in rows:
        assert frame["_seq"] <= position
        take(frame)
    assert held == expected[position]
    check_order(position)
    numbers = [position, *(frame["_seq"] for frame in live)]
    assert all(one < next_ for one, next_ in pairwise(numbers)), "in order, each once"
    by_number = {frame["_seq"]: frame for frame in live}
    for number in range(position + 1, stream.length + 1):
        if number in by_number:
            take(by_number[number])
        assert held == expected[number], f"after {number}"
        check_order(number)


MESSAGES = [
    {"_method": method, "id": row_id, "text": text}
    for method in ("POST", "POST", "PUT", "DELETE")
    for row_id in "12345"
    for text in ("a", "b", "a" * 150)
]
STEPS = [
    *[("write", message) for message in MESSAGES],
    *[("take", size) for size in (1, 50, 150, 300, 1000)] * 6,
    *[("chunk", 1)] * 15,
    *[("turn", count) for count in (1, 2, 5)] * 5,
    *[("join", None)] * 6,
]


@settings(max_examples=examples(400), deadline=None)
@given(
    before=st.lists(st.sampled_from(MESSAGES), max_size=12),
    steps=st.lists(st.sampled_from(STEPS), max_size=40),
    args=st.sampled_from([{}, {"text": ["a"]}, {"text": ["b"]}]),
    ring_bytes=st.sampled_from([0, 1000, 1 << 20]),
)
def test_snapshot_and_live_have_no_gap_and_no_duplicate(
    before: list[Frame],
    steps: list[tuple[str, Any]],
    args: dict[str, list[str]],
    ring_bytes: int,
) -> None:
    asyncio.run(join_at_some_step(before, steps, args, ring_bytes))


async def join_at_some_step(
    before: list[Frame], steps: list[tuple[str, Any]], args: dict[str, Any], ring_bytes: int
) -> None:
    async with reading(ring_bytes=ring_bytes) as hub:
        for raw in before:
            await write_if_acceptable(hub.stream, raw)
        hub.snapshots.gate = asyncio.Semaphore(0)
        joined = list[tuple[Pipe, Subscriber, int]]()
        for step, value in [*steps, ("join", None)]:
            match step:
                case "write":
                    await write_if_acceptable(hub.stream, value)
                case "take":
                    for pipe, _, _ in joined:
                        pipe.take(value)
                case "chunk":
                    hub.snapshots.gate.release()
                case "turn":
                    await turns(value)
                case other:
                    assert other == "join"
                    pipe, start = Pipe(capacity=250), Start(position=None, head=hub.stream.length)
                    subscriber = hub.subscribe(pipe, hub.view(**args), start)
                    joined.append((pipe, subscriber, start.head))
        open_wide(hub.snapshots.gate)
        for pipe, subscriber, head in joined:
            await drained(hub, pipe, subscriber)
            check(pipe.frames, hub.stream, args)
            _, position, _ = read(pipe.frames)
            assert position >= head, (
                "`_ready` comes after everything that was written before the client came"
            )


async def write_if_acceptable(stream: MemoryStream, raw: Frame) -> None:
    last = await stream.last(raw["id"])
    exists = last is not None and last.event.row is not None
    if (raw["_method"] == "POST") != exists:
        await append(stream, **raw)


def open_wide(gate: asyncio.Semaphore) -> None:
    for _ in range(100):
        gate.release()


async def drained(hub: Reading, pipe: Pipe, subscriber: Subscriber) -> None:
    """Let the client read until it is up to date."""
    async with asyncio.timeout(40):
        while hub.feed.head != hub.stream.length or not hub.fanout.is_attached(subscriber):
            pipe.take(100)
            await asyncio.sleep(0)


# --- Forms


async def post(hub: Reading, *ids: str) -> None:
    for row_id in ids:
        await hub.write(_method="POST", id=row_id, text="a")


async def test_ready_has_the_position_of_the_snapshot_even_if_it_is_empty() -> None:
    async with reading() as hub:
        pipe = Pipe()
        await hub.joined(pipe)
        assert pipe.frames == [
            {"_ready": {"position": f"{hub.stream.epoch}.0", "recovered": False}}
        ]


async def test_a_bare_client_gets_only_rows_and_messages() -> None:
    async with reading() as hub:
        await post(hub, "1")
        pipe = Pipe()
        await hub.joined(pipe, hub.view(Form.BARE))
        await post(hub, "2")
        assert [frame.get("_method") for frame in pipe.frames] == [None, "POST"]
        assert [*pipe.frames[0]] == ["text", "votes", "id", "user", "timestamp"]
        assert not [frame for frame in pipe.frames if frame.keys() & {"_ready", "_seq"}]


async def test_a_snapshot_ahead_of_the_fan_out_waits_for_it() -> None:
    """What the snapshot holds is not sent again."""
    async with reading() as hub:
        await post(hub, "1")
        await append(hub.stream, _method="POST", id="2")
        pipe = Pipe()
        subscriber = hub.subscribe(pipe)
        assert hub.feed.head == 1
        await eventually(lambda: hub.fanout.is_attached(subscriber))
        await post(hub, "3")
        rows, position, live = read(pipe.frames)
        assert ([row["_seq"] for row in rows], position) == ([1, 2], 2)
        assert [frame["_seq"] for frame in live] == [3]


async def test_a_heartbeat_pings_and_sends_the_position() -> None:
    async with reading(heartbeat=0.01) as hub:
        v1, bare = Pipe(), Pipe()
        await hub.joined(v1, hub.view(text=["never"]))
        await hub.joined(bare, hub.view(Form.BARE))
        await post(hub, "1")
        await eventually(lambda: {"_tick": f"{hub.stream.epoch}.1"} in v1.frames)
        await eventually(lambda: bare.pings)
        assert v1.pings
        assert len(bare.frames) == 1


async def test_a_large_snapshot_waits_for_its_reader() -> None:
    async with reading() as hub:
        for number in range(40):
            await hub.write(_method="POST", id=f"{number}", text="x" * 50_000)
        pipe = Pipe(capacity=MAX_UNSENT_BYTES)
        subscriber = hub.subscribe(pipe)
        while not hub.fanout.is_attached(subscriber):
            await turns(3)
            pipe.take(100_000)
        assert pipe.most_unsent <= 2 * MAX_UNSENT_BYTES
        check(pipe.frames, hub.stream, {})


async def test_what_comes_during_a_replay_is_not_within_a_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Receipts, pongs and other subscriptions write to the same socket."""
    monkeypatch.setattr(subscriber_module, "PART_BYTES", 50)
    async with reading() as hub:
        await post(hub, "1", "2", "3")
        hub.snapshots.gate, hub.snapshots.part_bytes = asyncio.Semaphore(0), 50
        pipe = Pipe()
        subscriber = hub.subscribe(pipe)
        while not hub.fanout.is_attached(subscriber):
            pipe.push(text_frame(b'{"_ack":1}'))
            hub.snapshots.gate.release()
            await turns(3)
        frames = [frame for frame in pipe.frames if "_ack" not in frame]
        check(frames, hub.stream, {})
        assert len(pipe.frames) > len(frames) + 5


# --- Since


@pytest.mark.parametrize("ring_bytes", [0, 1 << 20])
@pytest.mark.parametrize("history", [False, True])
@pytest.mark.parametrize(
    ("since", "expected", "recovered", "reason"),
    [
        ("earliest", [1, 2, 3, 4], True, "earliest"),
        ("now", [], True, "now"),
        ("-2", [3, 4], True, "last"),
        ("{epoch}.3", [4], True, "position"),
        ("{epoch}.4", [], True, "position"),
        ("{epoch}.9", None, False, "ahead"),
        ("other.3", None, False, "epoch"),
    ],
)
async def test_since_replays_the_events_after_it_and_reports_how(
    ring_bytes: int,
    history: bool,
    since: str,
    expected: list[int] | None,
    recovered: bool,
    reason: str,
) -> None:
    async with reading(ring_bytes=ring_bytes) as hub:
        await post(hub, "1", "2", "3")
        await hub.write(_method="PUT", id="1", text="b")
        view = hub.view(history=history)
        asked = since.format(epoch=hub.stream.epoch)
        start = await start_of(asked, view, hub.channel)
        pipe = Pipe()
        await hub.joined(pipe, view, start)
        await post(hub, "5")
        first, *rest = pipe.frames
        assert first == {"_resume": {"recovered": recovered, "reason": reason}}
        replayed, position, live = read(rest)
        assert position == 4
        if expected is None:  # whole state
            expected = [1, 2, 3, 4] if history else [4, 2, 3]
        assert [frame["_seq"] for frame in replayed] == expected
        assert [frame["_seq"] for frame in live] == [5]
        assert all(("row" in frame) is history for frame in [*replayed, *live])


async def test_a_start_ahead_of_the_fan_out_is_reached_first() -> None:
    async with reading() as hub:
        await post(hub, "1")
        await append(hub.stream, _method="POST", id="2")
        start = await start_of("earliest", hub.view(), hub.channel)
        assert (hub.feed.head, start.head) == (1, 2)
        pipe = Pipe()
        await hub.joined(pipe, start=start)
        replayed, position, live = read(pipe.frames[1:])
        assert ([frame["_seq"] for frame in replayed], position, live) == ([1, 2], 2, [])


# --- What goes wrong


async def test_a_client_that_takes_nothing_is_dropped_and_the_others_go_on() -> None:
    async with reading() as hub:
        stuck, other = Pipe(capacity=0), Pipe()
        subscriber = await hub.joined(stuck, hub.view(Form.BARE))
        await hub.joined(other)
        await post(hub, "1")
        stuck.stall()
        await turns(5)
        await post(hub, "2")
        assert not hub.fanout.is_attached(subscriber)
        assert stuck.failure is None, "its connection reports the reason"
        assert [frame["_seq"] for frame in stuck.frames if "_seq" in frame] == []
        assert len(stuck.frames) == 1
        assert len(other.frames) == 3


async def test_a_client_that_left_during_the_snapshot_is_forgotten() -> None:
    async with reading() as hub:
        await post(hub, "1", "2", "3")
        hub.snapshots.gate = asyncio.Semaphore(1)
        pipe = Pipe()
        subscriber = hub.subscribe(pipe)
        await eventually(lambda: len(pipe.frames) == 2)
        subscriber.stop()
        subscriber.stop()
        hub.snapshots.gate.release()
        await turns(5)
        assert len(pipe.frames) == 2
        assert not hub.fanout.is_attached(subscriber)


@pytest.mark.parametrize(
    ("error", "code", "logged"),
    [(Unavailable("being rebuilt"), "unavailable", 0), (RuntimeError("secret"), "internal", 1)],
)
async def test_a_failed_read_is_reported_and_ends_only_its_own_client(
    error: Exception, code: str, logged: int
) -> None:
    async with reading() as hub:
        pipe, other = Pipe(), Pipe()
        await hub.joined(other)
        hub.snapshots.error = error
        with capture_logs() as logs:
            hub.subscribe(pipe, hub.view(text=["a"]))
            await eventually(lambda: pipe.failure)
        assert isinstance(pipe.failure, EventHubError)
        assert pipe.failure.code == code
        assert "secret" not in pipe.failure.message
        assert len(logs) == logged
        await post(hub, "1")
        assert len(other.frames) == 2


class Outage(MemoryStream):
    """A log whose broker may be out: reads are refused, and new followers wait."""

    is_out = False

    async def read(self, after: int, max_bytes: int) -> list[StoredEvent]:
        if self.is_out:
            raise Unavailable("away")
        return await super().read(after, max_bytes)

    @asynccontextmanager
    async def follow(self, after: int) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        async with super().follow(1 << 40 if self.is_out else after) as batches:
            yield batches


@pytest.mark.parametrize("position", [0, 7])
async def test_a_log_that_does_not_answer_is_reported(
    monkeypatch: pytest.MonkeyPatch, position: int
) -> None:
    """Whether the log has the events, or is about to have them."""
    monkeypatch.setattr(subscriber_module, "READ_SECONDS", 0.02)
    stream = Outage(CHANNEL)
    async with reading(stream=stream, ring_bytes=0) as hub:
        await post(hub, "1")
        stream.is_out = True
        pipe = Pipe()
        hub.subscribe(pipe, start=Start(position=position, head=8, recovered=True, reason="now"))
        await eventually(lambda: pipe.failure)
        assert isinstance(pipe.failure, Unavailable)
        assert pipe.frames == [{"_resume": {"recovered": True, "reason": "now"}}]


async def test_a_closed_client_gets_nothing_more_and_starts_no_read() -> None:
    async with reading() as hub:
        pipe = Pipe()
        subscriber = await hub.joined(pipe)
        before, tasks = pipe.frames, asyncio.all_tasks()
        pipe.close()
        assert not hub.fanout.is_attached(subscriber)
        assert asyncio.all_tasks() <= tasks
        await hub.write(_method="POST", id="1")
        assert pipe.frames == before
