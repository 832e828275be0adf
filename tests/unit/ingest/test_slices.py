"""Long work shares the loop: one coroutine works in a turn, each in its order, and none is lost."""

import asyncio
import time

import pytest

from eventhub.ingest import slices
from eventhub.ingest.slices import Slices


async def test_within_its_slice_a_coroutine_goes_on_at_once() -> None:
    async with asyncio.timeout(40):
        ends = time.perf_counter() + 60
        assert await Slices().next(ends) == ends


async def test_one_coroutine_works_in_a_turn_and_all_in_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)
    shared, worked, turn = Slices(), list[tuple[int, int]](), 0

    async def work(number: int) -> None:
        ends = 0.0
        for _ in range(5):
            ends = await shared.next(ends)
            worked.append((turn, number))

    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(work(number))
        while len(worked) < 20:
            await asyncio.sleep(0)
            turn += 1
    assert [number for _, number in worked] == [0, 1, 2, 3] * 5
    turns = [turn for turn, _ in worked]
    assert len(set(turns)) == len(turns)


async def test_a_cancelled_coroutine_does_not_take_the_turn_of_the_next_one() -> None:
    shared = Slices()
    first, second = (asyncio.ensure_future(shared.next(0.0)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(40):
        assert await second > time.perf_counter() - 60
    assert first.cancelled()
