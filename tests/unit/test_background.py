"""Tasks of a block end with it, and make it fail if they fail."""

import asyncio

import pytest

from eventhub.background import background, side_by_side


async def run_forever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("ended")


async def fail() -> None:
    raise KeyError("why")


async def test_tasks_that_still_run_end_with_the_block() -> None:
    ended: list[str] = []
    async with asyncio.timeout(40), background() as tasks:
        tasks.start(run_forever(ended), name="first")
        _ = tasks.spawn(run_forever(ended))
        await asyncio.sleep(0)
        assert ended == []
    assert ended == ["ended", "ended"]


async def test_an_error_of_the_block_is_raised_unchanged_after_its_tasks_have_ended() -> None:
    ended: list[str] = []

    async def work() -> None:
        async with background() as tasks:
            tasks.start(run_forever(ended), name="forever")
            await asyncio.sleep(0)
            await fail()

    with pytest.raises(KeyError, match="why"):
        await work()
    assert ended == ["ended"]


async def test_a_task_that_fails_cancels_the_block_and_the_other_tasks() -> None:
    ended: list[str] = []
    with pytest.RaisesGroup(KeyError):
        async with asyncio.timeout(40), background() as tasks:
            tasks.start(run_forever(ended), name="forever")
            tasks.start(fail(), name="fails")
            await run_forever(ended)
    assert ended == ["ended", "ended"]


async def test_one_task_of_many_can_be_cancelled_alone() -> None:
    ended: list[str] = []
    async with asyncio.timeout(40), background() as tasks:
        first, second = tasks.spawn(run_forever(ended)), tasks.spawn(run_forever(ended))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (ended, second.done()) == (["ended"], False)


async def test_a_cancelled_owner_cancels_its_tasks() -> None:
    ended: list[str] = []
    is_running = asyncio.Event()

    async def own() -> None:
        async with background() as tasks:
            tasks.start(run_forever(ended), name="forever")
            await asyncio.sleep(0)
            is_running.set()
            await asyncio.Event().wait()

    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        owner = group.create_task(own())
        await is_running.wait()
        owner.cancel()
    assert ended == ["ended"]


async def test_items_are_worked_on_side_by_side_up_to_the_bound_and_keep_their_order() -> None:
    under_way, most = 0, 0

    async def work(item: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(item % 7):  # the later ones are often done first
            await asyncio.sleep(0)
        under_way -= 1
        return 10 * item

    assert await side_by_side(work, range(100), 8) == [10 * item for item in range(100)]
    assert (most, under_way) == (8, 0)
    assert await side_by_side(work, [], 8) == []


async def test_the_first_error_ends_the_work_on_the_other_items_and_is_raised_unchanged() -> None:
    ended: list[str] = []

    async def work(item: int) -> None:
        if item == 3:
            await fail()
        await run_forever(ended)

    async with asyncio.timeout(40):
        with pytest.raises(KeyError, match="why"):
            await side_by_side(work, range(100), 8)
    assert ended == ["ended"] * 7
