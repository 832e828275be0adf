"""The row cache holds the newest event of a row, within its bound of bytes."""

import random

from eventhub.event import StoredEvent
from eventhub.ingest.row_cache import RowCache
from eventhub.memory import MemoryStream
from tests.builders import channel, make_event


def stored(sequence: int, row_id: str, size: int = 100) -> StoredEvent:
    return StoredEvent(sequence, make_event(id=row_id), bytes(size))


def test_an_older_event_never_replaces_a_newer_one() -> None:
    cache = RowCache(MemoryStream(channel()))
    events = [stored(sequence, f"r{sequence % 7}") for sequence in range(1, 100)]
    random.Random(7).shuffle(events)
    for event in events:
        cache.note([event])
    found = [cache.recent(f"r{number}") for number in range(7)]
    assert [event.sequence for event in found if event] == [98, 99, 93, 94, 95, 96, 97]


def test_a_full_cache_drops_the_least_recently_used_rows() -> None:
    cache = RowCache(MemoryStream(channel()), max_bytes=300)
    cache.note([stored(1, "a"), stored(2, "b"), stored(3, "c")])
    cache.recent("a")
    cache.note([stored(4, "d")])
    held = [row_id for row_id in "abcd" if cache.recent(row_id)]
    assert held == ["a", "c", "d"]


def test_an_event_above_the_bound_is_not_kept() -> None:
    cache = RowCache(MemoryStream(channel()), max_bytes=300)
    cache.note([stored(1, "a", 1000), stored(2, "b")])
    assert cache.recent("a") is None
    assert cache.recent("b") is not None


async def test_last_reads_the_log_and_keeps_the_event() -> None:
    stream = MemoryStream(channel())
    cache = RowCache(stream)
    await stream.append(make_event(id="r1"), expect=0)
    assert cache.recent("r1") is None
    event = await cache.last("r1")
    assert event is not None
    assert cache.recent("r1") == event
    assert await cache.last("nobody") is None


def test_rows_are_forgotten_when_their_changes_are_no_longer_seen() -> None:
    cache = RowCache(MemoryStream(channel()), max_bytes=300)
    cache.note([stored(1, "a"), stored(2, "b")])
    cache.on_followed(None)
    assert cache.recent("a") is None
    cache.note([stored(3, "c"), stored(4, "d"), stored(5, "e")])
    assert cache.recent("c") is not None  # the bound is that of new rows
