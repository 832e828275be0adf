"""Work is done while it has users, and for a while after the last one."""

import asyncio

import pytest

from eventhub.background import background
from eventhub.demand import Demand
from tests.subscribing import eventually


class Work:
    """Notes whether it is being done, and how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.is_done = False

    async def do(self) -> None:
        self.begun += 1
        self.is_done = True
        try:
            await asyncio.Event().wait()
        finally:
            self.is_done = False


async def test_works_begin_with_the_first_user_and_rest_after_the_last() -> None:
    demand, works = Demand(0.01), [Work(), Work()]
    async with background() as tasks:
        for work in works:
            tasks.start(demand.serve(work.do), name="work")
        for round_ in (1, 2):
            with demand.hold():
                with demand.hold():
                    await eventually(lambda: all(work.is_done for work in works))
                await asyncio.sleep(0.03)
                assert [work.is_done for work in works] == [True, True]
            await eventually(lambda: not any(work.is_done for work in works))
            assert [work.begun for work in works] == [round_, round_]


async def test_a_user_who_comes_before_the_rest_finds_the_same_work() -> None:
    demand, work = Demand(3600), Work()
    async with background() as tasks:
        tasks.start(demand.serve(work.do), name="work")
        for _ in range(3):
            with demand.hold():
                await eventually(lambda: work.is_done)
        assert work.begun == 1


async def test_a_user_who_comes_as_the_last_one_leaves_finds_the_same_work() -> None:
    demand, work = Demand(0), Work()
    async with background() as tasks:
        tasks.start(demand.serve(work.do), name="work")
        with demand.hold():
            await eventually(lambda: work.is_done)
        with demand.hold():
            for _ in range(5):
                await asyncio.sleep(0)
            assert (work.is_done, work.begun) == (True, 1)


async def test_a_user_who_does_not_linger_takes_nothing_from_one_who_does() -> None:
    demand, work = Demand(3600), Work()
    async with background() as tasks:
        tasks.start(demand.serve(work.do), name="work")
        for begun in (1, 2):
            with demand.hold(lingers=False):
                await eventually(lambda: work.is_done)
            await eventually(lambda: not work.is_done)
            assert work.begun == begun
        with demand.hold(lingers=False), demand.hold():
            await eventually(lambda: work.is_done)
        await asyncio.sleep(0.01)
        assert work.is_done


async def test_a_user_who_comes_while_the_work_ends_has_it_begun_again() -> None:
    demand, work = Demand(0), Work()

    async def ends_slowly() -> None:
        try:
            await work.do()
        finally:
            await asyncio.sleep(0.02)

    async with background() as tasks:
        tasks.start(demand.serve(ends_slowly), name="work")
        with demand.hold():
            await eventually(lambda: work.is_done)
        await eventually(lambda: not work.is_done)
        with demand.hold():
            await eventually(lambda: work.begun == 2)


async def test_work_that_never_rests_needs_no_user() -> None:
    demand, work = Demand(), Work()
    async with background() as tasks:
        tasks.start(demand.serve(work.do), name="work")
        await eventually(lambda: work.is_done)
        with demand.hold():
            pass
        await asyncio.sleep(0.01)
        assert work.is_done


async def test_work_that_fails_is_not_begun_again() -> None:
    demand = Demand(3600)

    async def fail() -> None:
        raise ValueError("broken")

    with demand.hold(), pytest.RaisesGroup(ValueError):
        await demand.serve(fail)
