"""A work queue delivers every event until it is acknowledged, and then never again."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from eventhub.stream import ACK_WAIT_SECONDS, Delivery, EventStream
from tests.builders import make_event

WORKER = "alerts of chat.v2"


async def next_of(deliveries: AsyncIterator[Delivery]) -> Delivery:
    """Return the next delivery.

    In a cluster one may be under way to a worker that has just left: it comes again after its time.
    """
    async with asyncio.timeout(ACK_WAIT_SECONDS + 10):
        return await anext(deliveries)


async def assert_silent(deliveries: AsyncIterator[Delivery]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await anext(deliveries)


async def test_work_starts_with_the_first_event_after_it_was_enlisted(stream: EventStream) -> None:
    await stream.append(make_event(id="before"), expect=0)
    await stream.enlist(WORKER)
    await stream.append(make_event(id="after"), expect=0)
    await stream.enlist(WORKER)  # again, as after a restart
    async with stream.work(WORKER) as deliveries:
        delivery = await next_of(deliveries)
    assert (delivery.stored.event.id, delivery.stored.sequence, delivery.attempt) == ("after", 2, 1)


async def test_an_acknowledged_event_is_not_delivered_again(stream: EventStream) -> None:
    await stream.enlist(WORKER)
    for row_id in ("a", "b"):
        await stream.append(make_event(id=row_id), expect=0)
    async with stream.work(WORKER) as deliveries:
        for row_id in ("a", "b"):
            delivery = await next_of(deliveries)
            assert delivery.stored.event.id == row_id
            await delivery.ack()
    async with stream.work(WORKER) as deliveries:
        await assert_silent(deliveries)


async def test_a_retry_comes_after_its_delay(stream: EventStream) -> None:
    await stream.enlist(WORKER)
    await stream.append(make_event(id="a"), expect=0)
    loop = asyncio.get_running_loop()
    async with stream.work(WORKER) as deliveries:
        await (await next_of(deliveries)).retry(0.5)
        asked = loop.time()
        again = await next_of(deliveries)
        assert 0.4 < loop.time() - asked < 5
        assert (again.stored.event.id, again.attempt) == ("a", 2)
        await again.ack()
        await assert_silent(deliveries)


async def test_a_retry_does_not_hold_up_other_events(stream: EventStream) -> None:
    await stream.enlist(WORKER)
    for row_id in ("a", "b"):
        await stream.append(make_event(id=row_id), expect=0)
    async with stream.work(WORKER) as deliveries:
        await (await next_of(deliveries)).retry(60)
        assert (await next_of(deliveries)).stored.event.id == "b"


async def test_an_event_in_work_is_not_delivered_to_another_worker(stream: EventStream) -> None:
    await stream.enlist(WORKER)
    async with stream.work(WORKER) as one, stream.work(WORKER) as other:
        await stream.append(make_event(id="a"), expect=0)
        delivery = await next_of(one)
        await delivery.extend()
        await assert_silent(other)


async def test_two_workers_share_the_events(stream: EventStream) -> None:
    await stream.enlist(WORKER)
    async with stream.work(WORKER) as one, stream.work(WORKER) as other:
        for number in range(4):
            await stream.append(make_event(id=f"r{number}"), expect=0)
        received = []
        for deliveries in (one, other, one, other):
            delivery = await next_of(deliveries)
            await delivery.ack()
            received.append(delivery.stored.event.id)
    assert sorted(received) == ["r0", "r1", "r2", "r3"]


async def test_workers_with_different_names_each_get_every_event(stream: EventStream) -> None:
    for worker in ("mail", "audit"):
        await stream.enlist(worker)
    await stream.append(make_event(id="a"), expect=0)
    for worker in ("mail", "audit"):
        async with stream.work(worker) as deliveries:
            assert (await next_of(deliveries)).stored.event.id == "a"


async def test_events_that_wait_when_a_worker_leaves_go_to_the_next(stream: EventStream) -> None:
    await stream.enlist(WORKER)
    async with stream.work(WORKER) as deliveries:
        await assert_silent(deliveries)  # it waits for an event
        await stream.append(make_event(id="a"), expect=0)
    async with stream.work(WORKER) as deliveries:
        assert (await next_of(deliveries)).stored.event.id == "a"
