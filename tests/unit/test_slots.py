"""Slots are bounded, clients take turns, and a client that gives up leaves no slot taken."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventhub.errors import Unavailable
from eventhub.slots import Slots
from tests.examples import examples
from tests.subscribing import turns


def slots(count: int = 1, each: int = 1, waiting: int = 10) -> Slots:
    return Slots(count, each=each, waiting=waiting, what="read")


@asynccontextmanager
async def clients(shared: Slots, names: str, done: list[str]) -> AsyncIterator[None]:
    """Let clients named by letters work for a turn of the loop each; record their order."""

    async def work(name: str) -> None:
        async with shared.take(name, 10):
            done.append(name)
            await turns(2)

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(work(name))
        yield


async def test_clients_take_turns_however_many_requests_one_has() -> None:
    done: list[str] = []
    async with clients(slots(), "aaaaabbc", done):
        pass
    assert "".join(done) == "aabcabaa"


async def test_a_client_gets_only_its_share_while_other_slots_are_free() -> None:
    shared = slots(count=3, each=2)
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(shared.take("a", 1))
        with pytest.raises(Unavailable) as caught:
            await held.enter_async_context(shared.take("a", 0.01))
        assert caught.value.code == "unavailable"
        await held.enter_async_context(shared.take("b", 0.01))


async def test_a_client_with_too_many_waiting_requests_is_refused_and_others_are_not() -> None:
    shared = slots(waiting=2)
    done: list[str] = []
    async with shared.take("a", 1), clients(shared, "", done), asyncio.TaskGroup() as group:
        waiting = [group.create_task(take(shared, name)) for name in "aab"]
        await turns(2)
        with pytest.raises(Unavailable) as caught:
            await take(shared, "a")
        assert (caught.value.code, caught.value.http_status) == ("too_many_reads", 429)
        for task in waiting:
            task.cancel()


async def take(shared: Slots, name: str) -> None:
    async with shared.take(name, 10):
        pass


async def test_a_request_cancelled_as_a_slot_gets_free_does_not_block_the_next_of_its_client() -> (
    None
):
    shared = slots()
    async with asyncio.TaskGroup() as group:
        async with shared.take("a", 1):
            cancelled, next_one = (group.create_task(take(shared, "b")) for _ in range(2))
            await turns(2)
            cancelled.cancel()
        async with asyncio.timeout(1):
            await next_one


@settings(max_examples=examples(60), deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.booleans())),
    count=st.integers(1, 3),
    each=st.integers(1, 3),
)
def test_all_slots_are_free_in_the_end_whenever_clients_leave(
    steps: list[tuple[str, int, bool]], count: int, each: int
) -> None:
    """Steps: a client comes, some turns pass, and perhaps the oldest is cancelled."""
    most = min(count, each)

    async def scenario() -> None:
        shared = slots(count, each, waiting=100)
        working: dict[str, int] = dict.fromkeys("abc", 0)

        async def work(name: str) -> None:
            async with shared.take(name, 10):
                working[name] += 1
                assert working[name] <= most
                assert sum(working.values()) <= count
                try:
                    await turns(3)
                finally:
                    working[name] -= 1

        async with asyncio.TaskGroup() as group:
            tasks = []
            for name, pause, is_cancelled in steps:
                tasks.append(group.create_task(work(name)))
                await turns(pause)
                if is_cancelled:
                    tasks.pop(0).cancel()
        async with AsyncExitStack() as held:
            for number in range(count):
                await held.enter_async_context(shared.take(number, 0))

    asyncio.run(scenario())
