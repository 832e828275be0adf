"""Members that are up to date get every event once and in order; laggards cost nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventhub.delivery.broadcast import Broadcast
from eventhub.delivery.fanout import Fanout
from eventhub.delivery.frames import Form
from eventhub.delivery.view import View
from eventhub.feed import TURN_EVENTS, Feed
from eventhub.filters.query import parse
from eventhub.memory import MemoryStream
from tests.builders import channel
from tests.examples import examples
from tests.subscribing import (
    Frame,
    Pipe,
    Reading,
    append,
    eventually,
    history,
    parse_frames,
    reading,
    singly,
    sink_by,
    turns,
)


@dataclass(eq=False)
class Listener:
    """A member that keeps what is written to it; a full one takes that, and is detached."""

    view: View
    position: int = 0
    when_full: Callable[["Listener"], None] | None = None
    received: list[bytes] = field(default_factory=list)
    beats: int = 0

    def __post_init__(self) -> None:
        self.sink = sink_by(self.write)

    def write(self, data: bytes) -> None:
        self.received.append(data)
        if self.when_full is not None:
            self.when_full(self)

    def heartbeat(self) -> None:
        self.beats += 1


@pytest.fixture(autouse=True, params=[Form.V1, Form.V2], ids=lambda form: str(form.value))
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here is true in both subprotocols."""
    monkeypatch.setattr(Reading, "form", request.param)


async def test_only_a_member_at_the_head_is_attached() -> None:
    async with reading() as hub:
        await hub.write(_method="POST", id="1")
        listener = Listener(hub.view())
        for position, expected in ((0, False), (2, False), (1, True)):
            listener.position = position
            assert hub.fanout.attach(listener) is expected
            assert hub.fanout.is_attached(listener) is expected


async def test_a_detached_member_gets_nothing() -> None:
    async with reading() as hub:
        stays, leaves = Listener(hub.view()), Listener(hub.view())
        assert hub.fanout.attach(stays)
        assert hub.fanout.attach(leaves)
        hub.fanout.detach(leaves)
        hub.fanout.detach(leaves)
        await hub.write(_method="POST", id="1")
        assert (len(stays.received), len(leaves.received)) == (1, 0)


async def test_equal_views_share_one_encoding() -> None:
    """The arguments differ in text and order, but not in meaning."""
    async with reading() as hub:
        first = Listener(hub.view(text=["a", "b"], votes=["1"]))
        second = Listener(hub.view(votes=["01"], text=["b", "a", "a"]))
        bare = Listener(hub.view(Form.BARE, text=["a", "b"], votes=["1"]))
        for listener in (first, second, bare):
            assert hub.fanout.attach(listener)
        await hub.write(_method="POST", id="1", text="a", votes=1)
        assert first.received[0] is second.received[0]
        assert b"_seq" in first.received[0]
        assert b"_seq" not in bare.received[0]


@pytest.mark.parametrize(
    ("other", "options"),
    [
        ({"text": ["a"]}, {}),
        ({"_c": ["text"]}, {}),
        ({"_c": ["-text"]}, {}),
        ({}, {"form": Form.BARE}),
        ({}, {"form": Form.SSE}),
        ({}, {"history": True}),
    ],
)
async def test_views_with_other_frames_are_other_groups(
    other: dict[str, Any], options: dict[str, Any]
) -> None:
    async with reading() as hub:
        plain, special = Listener(hub.view()), Listener(hub.view(**options, **other))
        assert hub.fanout.attach(plain)
        assert hub.fanout.attach(special)
        await hub.write(_method="POST", id="1", text="b", votes=1)
        assert plain.received
        assert plain.received != special.received


async def test_a_burst_is_one_write_for_each_member() -> None:
    async with reading() as hub:
        listener = Listener(hub.view())
        assert hub.fanout.attach(listener)
        for number in range(10):
            await append(hub.stream, _method="POST", id=f"{number}")
        await hub.feed.reached(10, 5)
        assert len(listener.received) == 1
        decoded = [msgspec.json.decode(each) for _, each in parse_frames(listener.received[0])]
        assert len(decoded) == (10 if Reading.form is Form.V1 else 1)
        assert len(list(singly(decoded))) == 10


async def test_a_member_may_leave_while_it_is_written_to() -> None:
    async with reading() as hub:
        full, other = Listener(hub.view(), when_full=hub.fanout.detach), Listener(hub.view())
        assert hub.fanout.attach(full)
        assert hub.fanout.attach(other)
        await hub.write(_method="POST", id="1")
        await hub.write(_method="POST", id="2")
        assert (len(full.received), len(other.received)) == (1, 2)
        assert not hub.fanout.is_attached(full)


async def test_a_listener_before_the_fan_out_gets_a_batch_before_the_subscribers() -> None:
    async with reading() as hub:
        member, seen = Listener(hub.view()), list[tuple[list[int], int]]()
        assert hub.fanout.attach(member)
        hub.feed.listeners.insert(
            0, lambda batch: seen.append(([each.sequence for each in batch], len(member.received)))
        )
        await hub.write(_method="POST", id="1")
        assert seen == [([1], 0)]


async def test_heartbeats_come_only_after_silence() -> None:
    async with reading(heartbeat=0.03) as hub:
        busy, quiet = Listener(hub.view()), Listener(hub.view(text=["never"]))
        assert hub.fanout.attach(busy)
        assert hub.fanout.attach(quiet)
        number = 0
        async with asyncio.timeout(40):
            while quiet.beats < 3:
                number += 1
                await hub.write(_method="POST", id=f"{number}")
                await asyncio.sleep(0.001)
        assert (busy.beats, len(busy.received), quiet.received) == (0, number, [])
        await eventually(lambda: busy.beats)


# --- Laggards


def numbers(frames: list[Frame]) -> list[int]:
    return [frame["_seq"] for frame in frames if "_seq" in frame]


async def flood(hub: Reading, count: int, size: int = 200) -> None:
    for _ in range(count):
        number = hub.feed.head + 1
        await hub.write(_method="POST", id=f"{number}", text="x" * size)


@pytest.mark.parametrize("ring_bytes", [1 << 20, 1500])
async def test_a_laggard_gets_everything_once_and_in_order_when_it_drains(ring_bytes: int) -> None:
    """From the ring, or from the log if the ring has forgotten."""
    async with reading(ring_bytes=ring_bytes) as hub:
        slow, fast = Pipe(capacity=1000), Pipe()
        subscriber = await hub.joined(slow)
        await hub.joined(fast)
        await flood(hub, 200)
        assert not hub.fanout.is_attached(subscriber)
        assert (hub.feed.recent(subscriber.position) is None) is (ring_bytes == 1500)
        assert slow.most_unsent < 2000, "what it does not take is not kept for it"
        while not hub.fanout.is_attached(subscriber):
            slow.take(700)
            await turns(3)
        assert slow.most_unsent < 1000 + TURN_EVENTS * 300, "nor is all read at once"
        await flood(hub, 1)
        assert numbers(slow.frames) == list(range(1, 202))
        assert slow.frames == fast.frames


async def test_a_laggard_that_leaves_is_forgotten() -> None:
    async with reading() as hub:
        pipe = Pipe(capacity=0)
        subscriber = await hub.joined(pipe, hub.view(Form.BARE))
        await flood(hub, 2)
        received = pipe.frames
        subscriber.stop()
        pipe.close()
        await turns(5)
        pipe.take()
        await flood(hub, 1)
        assert not hub.fanout.is_attached(subscriber)
        assert (len(received), pipe.frames, pipe.failure) == (1, received, None)


# --- Groups of any filters

FILTERS: list[dict[str, list[str]]] = [
    {},
    {"text": ["a"]},
    {"text": ["b"]},
    {"text": ["a", "b"]},
    {"text": ["a"], "votes": ["1"]},
    {"text": ["a", "b"], "votes": ["1"]},
    {"votes": ["1"], "text!": ["a"]},
    {"votes": ["1", "2"]},
    {"id": ["1"]},
    {"text": []},
    {"votes!": []},
    {"votes>": ["1"]},
]
MESSAGES = [
    {"_method": method, "id": row_id, "text": text, "votes": votes}
    for method in ("POST", "PUT", "PUT", "DELETE")
    for row_id in "123"
    for text in ("a", "b", None)
    for votes in (1, 2, None)
]


@settings(max_examples=examples(100), deadline=None)
@given(
    messages=st.lists(st.sampled_from(MESSAGES), max_size=25),
    moves_of_members=st.lists(st.integers(0, len(FILTERS) - 1), max_size=25),
)
def test_each_group_gets_exactly_the_frames_of_its_own_view(
    messages: list[Frame], moves_of_members: list[int]
) -> None:
    """However groups are found, and whichever members came and left before."""

    async def scenario() -> None:
        stream = MemoryStream(channel())
        feed = Feed(stream, 0)
        fanout = Fanout(feed, 3600, Broadcast())
        feed.listeners.append(fanout.publish)
        queries = [parse(args, stream.channel.columns) for args in FILTERS]
        views = [View(Reading.form, query, history=False, epoch="e") for query in queries]
        here: dict[int, Listener] = {}
        expected: dict[Listener, bytes] = {}
        moves = iter(moves_of_members)
        for event in history(messages, stream.channel):
            if (move := next(moves, None)) is not None:
                if move in here:
                    fanout.detach(here.pop(move))
                else:
                    here[move] = Listener(views[move], position=feed.head)
                    expected[here[move]] = b""
                    assert fanout.attach(here[move])
            for listener in here.values():
                expected[listener] += listener.view.wire([event])
            feed.publish([event])
        assert [b"".join(each.received) for each in expected] == [*expected.values()]

    asyncio.run(scenario())
