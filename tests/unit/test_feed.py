"""Every reader of a feed gets each event once and in order, however fast or slow it is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventhub import feed as feed_module
from eventhub.background import background
from eventhub.demand import Demand
from eventhub.errors import Unavailable
from eventhub.event import StoredEvent
from eventhub.feed import PAUSE_SECONDS, TURN_EVENTS, Feed, Ring
from eventhub.memory import MemoryStream
from eventhub.stream import Bounds
from tests.builders import channel, make_event
from tests.examples import examples
from tests.subscribing import eventually, reading, turns


async def append(stream: MemoryStream, count: int) -> None:
    for _ in range(count):
        await stream.append(make_event(id=f"r{stream.length}"), expect=0)


class Counting(MemoryStream):
    """Counts how often the log was read."""

    reads = 0

    @asynccontextmanager
    async def follow_sealed(self, after: int) -> Any:
        self.reads += 1
        async with super().follow_sealed(after) as batches:
            yield batches


async def read(feed: Feed, after: int, count: int, pauses: Sequence[int] = ()) -> list[int]:
    """Return the sequences of the next events, after pausing for turns of the loop."""
    sequences: list[int] = []
    rests = iter(pauses)
    async with asyncio.timeout(40), feed.follow(after) as batches:
        async for batch in batches:
            sequences += [event.sequence for event in batch]
            if len(sequences) >= count:
                return sequences
            for _ in range(next(rests, 0)):
                await asyncio.sleep(0)
    raise AssertionError("a feed never ends")


@given(st.lists(st.sampled_from([1, 1000, 100_000, feed_module.TURN_BYTES + 1]), max_size=600))
def test_turns_are_the_batch_in_order_and_none_is_too_large(sizes: list[int]) -> None:
    payloads = {size: bytes(size) for size in set(sizes)}
    batch = [
        StoredEvent(number, make_event(), payloads[size]) for number, size in enumerate(sizes, 1)
    ]
    cut = list(feed_module.turns(batch))
    assert [stored for turn in cut for stored in turn] == batch
    for turn in cut:
        assert 0 < len(turn) <= TURN_EVENTS
        total = sum(len(stored.payload) for stored in turn)
        assert total <= feed_module.TURN_BYTES or len(turn) == 1


@given(
    before=st.integers(0, 40),
    later=st.lists(st.integers(0, 30), max_size=6),
    after=st.integers(0, 40),
    ring_bytes=st.sampled_from([0, 1500, 1 << 20]),
    pauses=st.lists(st.integers(0, 20), max_size=10),
)
def test_every_reader_gets_every_event_after_its_position_once(
    before: int, later: list[int], after: int, ring_bytes: int, pauses: list[int]
) -> None:
    async def scenario() -> None:
        stream = MemoryStream(channel())
        await append(stream, before)
        feed = Feed(stream, before, ring_bytes)
        start, last = min(after, before), before + sum(later) + 1
        async with background() as tasks, asyncio.TaskGroup() as group:
            tasks.start(feed.run(), name="feed")
            reading = group.create_task(read(feed, start, last - start, pauses))
            for count in [*later, 1]:
                await append(stream, count)
                await asyncio.sleep(0)
            assert await reading == list(range(start + 1, last + 1))

    asyncio.run(scenario())


async def test_a_reader_that_keeps_up_does_not_read_the_log() -> None:
    stream = Counting(channel())
    feed = Feed(stream, 0)
    async with background() as tasks:
        tasks.start(feed.run(), name="feed")
        await append(stream, 100)
        assert await read(feed, 0, 100) == list(range(1, 101))
    assert stream.reads == 0


async def test_a_reader_gets_what_comes_during_its_pause_together() -> None:
    stream, go_on = MemoryStream(channel()), asyncio.Event()
    feed = Feed(stream, 0)
    async with background() as tasks, feed.follow(0, go_on.wait) as batches, asyncio.timeout(40):
        tasks.start(feed.run(), name="feed")
        first = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0)  # now it waits
        for end in (1, 2, 3):
            await append(stream, 1)
            await feed.reached(end, 10)
        assert not first.done()
        go_on.set()
        assert [event.sequence for event in await first] == [1, 2, 3]


async def test_a_reader_from_further_back_reads_the_log_once_and_then_the_ring() -> None:
    stream = Counting(channel())
    await append(stream, 50)
    feed = Feed(stream, 50)
    async with background() as tasks, asyncio.TaskGroup() as group:
        tasks.start(feed.run(), name="feed")
        reading = group.create_task(read(feed, 0, 150))
        await append(stream, 50)
        await eventually(lambda: feed.head == 100)
        await append(stream, 50)
        assert await reading == list(range(1, 151))
    assert stream.reads == 1


async def test_events_that_come_during_the_pause_after_a_slow_turn_are_one_turn() -> None:
    """A slow turn is followed by a pause, so a busy channel makes fewer, larger turns."""
    stream, turns = MemoryStream(channel()), list[int]()
    feed = Feed(stream, 0)

    def slow(batch: list[StoredEvent]) -> None:
        turns.append(len(batch))
        until = asyncio.get_running_loop().time() + 2 * PAUSE_SECONDS
        while asyncio.get_running_loop().time() < until:
            pass

    feed.listeners.append(slow)
    async with background() as tasks:
        tasks.start(feed.run(), name="feed")
        await append(stream, 1)
        await eventually(lambda: turns)
        for _ in range(20):
            await append(stream, 1)
            await asyncio.sleep(0)
        await eventually(lambda: sum(turns) == 21)
    assert turns[0] == 1
    assert len(turns) <= 4


async def test_a_turn_is_bounded() -> None:
    stream, turns = MemoryStream(channel()), list[int]()
    feed = Feed(stream, 0)
    feed.listeners.append(lambda batch: turns.append(len(batch)))
    await append(stream, 3 * TURN_EVENTS)
    async with background() as tasks:
        tasks.start(feed.run(), name="feed")
        await eventually(lambda: feed.head == 3 * TURN_EVENTS)
    assert max(turns) <= TURN_EVENTS


async def test_events_known_to_be_stored_are_handed_out_as_one_turn() -> None:
    """The log delivers them one by one; events that are not known of are not waited for."""
    stream, turns = OneByOne(channel()), list[list[int]]()
    stream.newest = 3
    await append(stream, 5)
    feed = Feed(stream, after=0)
    feed.listeners.append(lambda batch: turns.append([event.sequence for event in batch]))
    async with background() as tasks:
        tasks.start(feed.run(), name="feed")
        await feed.reached(5, 10)
    assert turns[0] == [1, 2, 3]


class OneByOne(MemoryStream):
    """Delivers each event in its own batch."""

    newest = 0

    @asynccontextmanager
    async def follow(self, after: int) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        async with super().follow(after) as batches:
            yield ([event] async for batch in batches for event in batch)


# --- Rest -----------------------------------------------------------------------------------------


@given(later=st.lists(st.integers(0, 20), min_size=1, max_size=8), after=st.integers(0, 10))
def test_a_reader_gets_every_event_once_from_a_feed_that_rests(
    later: list[int], after: int
) -> None:
    async def scenario() -> None:
        stream, demand = MemoryStream(channel()), Demand(0)
        await append(stream, 10)
        feed, last = Feed(stream, 10, demand=demand), 10 + sum(later) + 1
        async with background() as tasks, asyncio.TaskGroup() as group:
            tasks.start(feed.run(), name="feed")
            reading = group.create_task(read(feed, after, last - after))
            for count in later:
                with demand.hold():
                    await feed.reached(0, 5)
                    await append(stream, count // 2)
                await eventually(lambda: not feed.is_followed)
                await append(stream, count - count // 2)
            with demand.hold():
                await append(stream, 1)
                assert await reading == list(range(after + 1, last + 1))

    asyncio.run(scenario())


async def test_a_feed_that_rests_hands_out_what_follows_the_sequence_that_it_names() -> None:
    stream, demand = MemoryStream(channel()), Demand(0)
    feed, followed = Feed(stream, 0, demand=demand), list[int | None]()
    handed_out = list[int]()
    feed.on_followed.append(followed.append)
    feed.listeners.append(lambda batch: handed_out.extend(each.sequence for each in batch))
    async with background() as tasks:
        tasks.start(feed.run(), name="feed")
        await append(stream, 3)
        for _ in range(2):
            with demand.hold():
                await feed.reached(0, 5)
                await append(stream, 2)
                await feed.reached(stream.length, 5)
            await eventually(lambda: not feed.is_followed)
            await append(stream, 1)
    assert followed == [3, None, 6, None]
    assert handed_out == [4, 5, 7, 8]


async def test_a_feed_waits_for_the_end_of_a_log_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_module, "RETRY_SECONDS", 0)
    stream, demand = Reluctant(channel()), Demand(3600)
    await append(stream, 2)
    feed = Feed(stream, 0, demand=demand)
    async with background() as tasks:
        tasks.start(feed.run(), name="feed")
        with demand.hold():
            await feed.reached(2, 5)
    assert stream.refusals == 0


class Reluctant(MemoryStream):
    """Answers the third time."""

    refusals = 2

    async def bounds(self) -> Bounds:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("not now")
        return await super().bounds()


# --- Waiting for a sequence -----------------------------------------------------------------------


async def test_reached_waits_until_an_event_is_handed_out_or_its_deadline() -> None:
    async with reading() as hub, asyncio.TaskGroup() as group:
        waiting = [group.create_task(hub.feed.reached(n, 5)) for n in (2, 1)]
        await hub.write(_method="POST", id="1")
        await turns(2)
        assert [task.done() for task in waiting] == [False, True]
        await hub.write(_method="POST", id="2")
        await hub.feed.reached(0, 0.01)
        with pytest.raises(TimeoutError):
            await hub.feed.reached(3, 0.01)


async def test_a_waiter_that_gave_up_does_not_keep_others_from_waking() -> None:
    async with reading() as hub:
        with pytest.raises(TimeoutError):
            await hub.feed.reached(1, 0.01)
        await hub.write(_method="POST", id="1")
        assert hub.feed.head == 1


# --- Ring -----------------------------------------------------------------------------------------


def stored(sequence: int, size: int = 10) -> StoredEvent:
    return StoredEvent(sequence, make_event(), bytes(size))


def sequences(events: list[StoredEvent] | None) -> list[int] | None:
    return None if events is None else [event.sequence for event in events]


@settings(max_examples=examples(200), deadline=None)
@given(
    floor=st.integers(0, 3),
    gaps=st.lists(st.integers(1, 3), max_size=12),
    sizes=st.lists(st.integers(1, 40), min_size=12, max_size=12),
    max_bytes=st.integers(0, 120),
    cut=st.integers(0, 12),
)
def test_the_ring_returns_the_events_after_a_position_or_none_if_it_forgot_some(
    floor: int, gaps: list[int], sizes: list[int], max_bytes: int, cut: int
) -> None:
    numbers = [floor + sum(gaps[: n + 1]) for n in range(len(gaps))]
    events = [stored(number, size) for number, size in zip(numbers, sizes, strict=False)]
    ring = Ring(floor, max_bytes)
    ring.extend(events[:cut])
    ring.extend(events[cut:])
    forgotten = 0
    while sum(event.size for event in events[forgotten:]) > max_bytes:
        forgotten += 1
    oldest = numbers[forgotten - 1] if forgotten else floor
    for position in range(floor + sum(gaps) + 2):
        expected = [number for number in numbers if number > position]
        if position < oldest:
            assert ring.after(position, 100) is None
        else:
            assert sequences(ring.after(position, 100)) == expected
            assert sequences(ring.after(position, 2)) == expected[:2]


def test_an_event_larger_than_the_ring_is_forgotten_at_once() -> None:
    ring = Ring(0, 100)
    ring.extend([stored(1), stored(2, 101)])
    assert ring.after(1, 10) is None
    assert ring.after(2, 10) == []
    ring.extend([stored(3)])
    assert sequences(ring.after(2, 10)) == [3]


@pytest.mark.parametrize(
    ("position", "count", "share"), [(0, 9, 1.0), (1, 9, 0.8), (2, 9, 0.4), (3, 9, 0.0), (1, 1, 0)]
)
def test_the_lead_of_a_few_events_is_their_share_of_the_ring(
    position: int, count: int, share: float
) -> None:
    ring = Ring(0, 100)
    ring.extend([stored(number, 40) for number in (1, 2, 3)])
    assert ring.share_after(position, count) == share
