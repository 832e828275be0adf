"""A record is the last value that was put under its key."""

import asyncio

import pytest

from eventhub.stream import Log, Records


@pytest.fixture
async def records(any_log: Log) -> Records:
    return await any_log.records("alerts")


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
    one, other = await any_log.records("one"), await any_log.records("other")
    await one.put("a", b"1")
    assert await other.get("a") is None


async def test_an_old_record_vanishes(any_log: Log) -> None:
    records = await any_log.records("brief", max_age_seconds=0.2)
    await records.put("a.b", b"1")
    async with asyncio.timeout(10):
        while await records.items("a"):
            await asyncio.sleep(0.02)
    assert await records.get("a.b") is None


async def test_a_reopened_store_has_its_records(any_log: Log) -> None:
    await (await any_log.records("alerts")).put("a", b"1")
    again = await any_log.records("alerts", max_age_seconds=3600)
    assert await again.get("a") == b"1"
