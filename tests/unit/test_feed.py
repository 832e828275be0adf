"""Whoever reads a feed, as fast or as slow as it likes, gets each event once and in order."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eventhub.background import background
from eventhub.event import StoredEvent
from eventhub.feed import PAUSE_SECONDS, TURN_EVENTS, Feed
from eventhub.memory import MemoryStream
from tests.builders import channel, make_event
from tests.subscribing import eventually


async def append(stream: MemoryStream, count: int) -> None:
    for _ in range(count):
        await stream.append(make_event(id=f"r{stream.length}"), expect=0)


class Counting(MemoryStream):
    """Counts how often its log was read."""

    reads = 0

    @asynccontextmanager
    async def follow_sealed(self, after: int) -> Any:
        self.reads += 1
        async with super().follow_sealed(after) as batches:
            yield batches


async def read(feed: Feed, after: int, count: int, pauses: Sequence[int] = ()) -> list[int]:
    """Return the sequences of the next events; turns of the loop are let pass between batches."""
    sequences: list[int] = []
    rests = iter(pauses)
    async with asyncio.timeout(10), feed.follow(after) as batches:
        async for batch in batches:
            sequences += [event.sequence for event in batch]
            if len(sequences) >= count:
                return sequences
            for _ in range(next(rests, 0)):
                await asyncio.sleep(0)
    raise AssertionError("a feed never ends")


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


async def test_who_keeps_up_does_not_read_the_log_again() -> None:
    stream = Counting(channel())
    feed = Feed(stream, 0)
    async with background() as tasks:
        tasks.start(feed.run(), name="feed")
        await append(stream, 100)
        assert await read(feed, 0, 100) == list(range(1, 101))
    assert stream.reads == 0


async def test_who_comes_from_further_back_reads_the_log_once_and_then_the_feed() -> None:
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


async def test_what_comes_while_a_turn_is_paid_for_is_handed_out_together() -> None:
    """A turn that took long is followed by a pause, so a busy channel makes fewer, larger ones."""
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


async def test_what_is_known_to_be_stored_is_handed_out_as_one_turn() -> None:
    """Although the log delivers it one by one; what nobody knows of is not waited for."""
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
    """Delivers each event as a batch of its own."""

    newest = 0

    @asynccontextmanager
    async def follow(self, after: int) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        async with super().follow(after) as batches:
            yield ([event] async for batch in batches for event in batch)
