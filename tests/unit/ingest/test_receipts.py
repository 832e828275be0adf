"""A key is remembered for ten minutes, over restarts, and a new key is never taken for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventhub.errors import Rejected, Unavailable
from eventhub.event import StoredEvent
from eventhub.ingest import receipts as receipts_module
from eventhub.ingest.receipts import WINDOW, Receipt, Receipts, write_id
from eventhub.memory import MemoryStream
from tests.builders import channel, make_event

KEYED = [write_id(number) for number in range(3)]


class Counting(MemoryStream):
    """Tells how often it was followed."""

    follows = 0

    @asynccontextmanager
    async def follow(self, after: int) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        self.follows += 1
        async with super().follow(after) as batches:
            yield batches


@pytest.fixture
async def stream() -> Counting:
    """Two keyed writes with another between them."""
    stream = Counting(channel())
    for number, write in enumerate([KEYED[0], "w1", KEYED[1]]):
        await stream.append(make_event(id=f"r{number}", write=write), expect=0)
    return stream


@pytest.mark.parametrize("key", ["", "x" * 501, None, True, 1.5, [], {}])
def test_a_key_is_text_or_a_whole_number(key: Any) -> None:
    with pytest.raises(Rejected) as caught:
        write_id(key)
    assert caught.value.code == "bad_control"


def test_equal_keys_are_one_write_and_others_are_not() -> None:
    keys = ["7", "8", "x" * 500, "é", "e\u0301", "\udcff", "\udcfe", "\n"]
    assert len({write_id(key) for key in keys}) == len(keys)
    assert write_id(7) == write_id("7")
    assert all(write_id(key).startswith("k") and write_id(key).isalnum() for key in keys)


async def test_noted_writes_are_known_without_reading_the_log(stream: Counting) -> None:
    receipts = Receipts(stream, after=0)
    receipts.note([stream.at(1), stream.at(2)])
    assert await receipts.find(KEYED[0]) == Receipt("r0", 1, duplicate=True)
    assert stream.follows == 0


async def test_earlier_writes_are_read_back_once_and_only_when_needed(stream: Counting) -> None:
    receipts = Receipts(stream, after=3)
    assert stream.follows == 0
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(receipts.find(write)) for write in KEYED]
    assert [task.result() for task in tasks] == [
        Receipt("r0", 1, True),
        Receipt("r2", 3, True),
        None,
    ]
    assert await receipts.find("kother") is None
    assert stream.follows == 1


async def test_writes_without_a_key_are_not_remembered(stream: Counting) -> None:
    assert await Receipts(stream, after=3).find("w1") is None


async def test_a_key_older_than_the_window_is_forgotten(stream: Counting) -> None:
    later = datetime.now(UTC) + WINDOW + timedelta(seconds=1)
    assert await Receipts(stream, after=3, now=lambda: later).find(KEYED[0]) is None
    sooner = datetime.now(UTC) + timedelta(minutes=2)
    assert await Receipts(stream, after=3, now=lambda: sooner).find(KEYED[0])


async def test_long_after_the_start_nothing_is_read_back(stream: Counting) -> None:
    """All that is in the window has passed by."""
    times = iter([datetime.now(UTC), datetime.now(UTC) + WINDOW + timedelta(seconds=1)])
    assert await Receipts(stream, after=3, now=lambda: next(times)).find(KEYED[0]) is None
    assert stream.follows == 0


async def test_writes_that_were_not_noted_are_read_back_whenever_they_are_needed(
    stream: Counting,
) -> None:
    receipts = Receipts(stream, after=None)
    assert await receipts.find(KEYED[0]) == Receipt("r0", 1, True)
    await stream.append(make_event(id="r3", write=KEYED[2]), expect=0)
    assert await receipts.find(KEYED[2]) == Receipt("r3", 4, True)
    receipts.on_followed(4)
    assert await receipts.find("kother") is None
    assert stream.follows == 2  # each event was read once


async def test_writes_from_while_the_channel_was_not_followed_are_read_back(
    stream: Counting,
) -> None:
    receipts = Receipts(stream, after=0)
    receipts.note([stream.at(1)])
    receipts.on_followed(None)
    receipts.on_followed(3)
    assert await receipts.find(KEYED[0]) == Receipt("r0", 1, True)
    assert stream.follows == 0
    assert await receipts.find(KEYED[1]) == Receipt("r2", 3, True)
    assert stream.follows == 1


@pytest.mark.parametrize("after", [0, 3])
async def test_an_empty_log_or_one_that_lost_its_end_is_not_waited_for(after: int) -> None:
    assert await Receipts(MemoryStream(channel()), after=after).find(KEYED[0]) is None


class Silent(MemoryStream):
    """A broker that is out: a follower waits for it."""

    is_silent = True

    @asynccontextmanager
    async def follow(self, after: int) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        async with super().follow(1 << 40 if self.is_silent else after) as batches:
            yield batches


async def test_a_silent_log_is_unavailable_and_read_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receipts_module, "READ_BACK_SECONDS", 0.02)
    stream = Silent(channel())
    await stream.append(make_event(write=KEYED[0]), expect=0)
    receipts = Receipts(stream, after=1)
    async with asyncio.timeout(1), asyncio.TaskGroup() as group:
        for _ in range(100):  # none waits for the others' deadlines
            group.create_task(_is_told_to_come_back(receipts))
    stream.is_silent = False
    assert await receipts.find(KEYED[0]) == Receipt("r1", 1, True)


async def _is_told_to_come_back(receipts: Receipts) -> None:
    with pytest.raises(Unavailable) as caught:
        await receipts.find(KEYED[0])
    assert caught.value.code == "unavailable"


async def test_memory_is_bounded_and_the_oldest_go_first(
    monkeypatch: pytest.MonkeyPatch, stream: Counting
) -> None:
    monkeypatch.setattr(receipts_module, "MAX_REMEMBERED", 2)
    receipts = Receipts(MemoryStream(channel()), after=0)
    receipts.note([StoredEvent(n + 1, make_event(write=write)) for n, write in enumerate(KEYED)])
    found = [await receipts.find(write) for write in KEYED]
    assert [None if each is None else each.sequence for each in found] == [None, 2, 3]
