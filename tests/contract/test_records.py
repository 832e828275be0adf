"""A record is the last value that was put under its key."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from eventhub.stream import Log, Records, Watched


@pytest.fixture
async def records(any_log: Log) -> Records:
    return await any_log.records("alerts-dead")


async def test_a_record_is_read_back_replaced_and_forgotten(records: Records) -> None:
    assert await records.get("dead.e1.7") is None
    await records.put("dead.e1.7", b"one")
    await records.put("dead.e1.7", b"two")
    assert await records.get("dead.e1.7") == b"two"
    await records.delete("dead.e1.7")
    await records.delete("dead.e1.7")
    assert await records.get("dead.e1.7") is None
    assert await records.items("dead") == []


async def test_lists_the_keys_below_a_prefix_oldest_first(records: Records) -> None:
    for key in ("dead.b", "dead.a", "deadline.c", "done.d", "dead", "dead.=w6k.e_1-x"):
        await records.put(key, key.encode())
    await records.put("dead.b", b"again")
    assert await records.items("dead") == [
        ("dead.a", b"dead.a"),
        ("dead.=w6k.e_1-x", b"dead.=w6k.e_1-x"),
        ("dead.b", b"again"),
    ]


async def test_lists_more_records_than_one_page(records: Records) -> None:
    for number in range(300):
        await records.put(f"dead.{number}", b"")
    assert [key for key, _ in await records.items("dead")] == [f"dead.{n}" for n in range(300)]


async def test_each_store_has_its_own_records(any_log: Log) -> None:
    one, other = await any_log.records("access"), await any_log.records("mirrors")
    await one.put("a", b"1")
    assert await other.get("a") is None


async def test_an_old_record_vanishes(any_log: Log) -> None:
    records = await any_log.records("alerts-sent", max_age_seconds=0.2)
    await records.put("a.b", b"1")
    async with asyncio.timeout(40):
        while await records.items("a"):
            await asyncio.sleep(0.02)
    assert await records.get("a.b") is None


async def test_a_reopened_store_has_its_records(any_log: Log) -> None:
    await (await any_log.records("alerts-dead")).put("a", b"1")
    again = await any_log.records("alerts-dead", max_age_seconds=3600)
    assert await again.get("a") == b"1"


async def test_a_record_vanishes_after_its_own_time(records: Records) -> None:
    await records.put("a.brief", b"1", seconds=0.1)
    await records.put("a.long", b"2", seconds=3600)
    async with asyncio.timeout(20):
        while await records.get("a.brief"):
            await asyncio.sleep(0.02)
    assert await records.items("a") == [("a.long", b"2")]


async def _next(watching: AsyncIterator[Watched]) -> tuple[bool, list[tuple[str, bytes]]]:
    async with asyncio.timeout(20):
        watched = await anext(watching)
    return watched.is_whole, [(each.key, each.value) for each in watched.records]


async def test_a_watcher_gets_all_records_and_then_each_that_is_put(records: Records) -> None:
    await records.put("b", b"old")
    for key in ("a", "b", "c"):
        await records.put(key, b"1")
    await records.delete("c")
    async with records.watch() as watching:
        assert await _next(watching) == (True, [("a", b"1"), ("b", b"1")])
        await records.put("a", b"2")
        assert await _next(watching) == (False, [("a", b"2")])
        await records.put("c", b"3")
        assert await _next(watching) == (False, [("c", b"3")])


async def test_a_watcher_of_an_empty_store_gets_nothing_and_then_what_is_put(
    records: Records,
) -> None:
    async with records.watch() as watching:
        assert await _next(watching) == (True, [])
        await records.put("a", b"1")
        assert await _next(watching) == (False, [("a", b"1")])


async def test_a_watcher_gets_a_thousand_records_at_once(records: Records) -> None:
    for number in range(1100):
        await records.put(f"dead.{number}", b"")
    async with records.watch() as watching:
        is_whole, found = await _next(watching)
    assert is_whole
    assert [key for key, _ in found] == [f"dead.{number}" for number in range(1100)]


async def test_sequences_grow_with_each_put(records: Records) -> None:
    sequences = []
    async with records.watch() as watching, asyncio.timeout(20):
        await anext(watching)
        for value in (b"1", b"2"):
            await records.put("a", value)
            sequences += [each.sequence for each in (await anext(watching)).records]
    assert sequences == sorted(set(sequences))
    assert len(sequences) == 2
