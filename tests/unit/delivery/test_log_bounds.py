"""However many callers ask where a log ends, two reads answer them all, and none too early."""

import asyncio

import pytest

from eventhub.delivery.log_bounds import LogBounds
from eventhub.errors import Unavailable
from eventhub.memory import MemoryStream
from eventhub.stream import Bounds
from tests.builders import channel
from tests.subscribing import append, turns


class Slow(MemoryStream):
    """A log whose bounds are returned when the test allows it, as they were when they were read."""

    reads = 0
    is_out = False

    def __init__(self) -> None:
        super().__init__(channel())
        self.gate = asyncio.Semaphore(0)

    async def bounds(self) -> Bounds:
        self.reads += 1
        found = await super().bounds()
        await self.gate.acquire()
        if self.is_out:
            raise Unavailable("away")
        return found


async def test_a_caller_gets_every_write_that_was_stored_before_its_call() -> None:
    stream = Slow()
    bounds = LogBounds(stream)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(bounds.read())
        await turns(3)
        await append(stream, _method="POST", id="1")
        later = [group.create_task(bounds.read()) for _ in range(50)]
        await turns(3)
        stream.gate.release()
        stream.gate.release()
    assert first.result().last == 0
    assert {task.result().last for task in later} == {1}
    assert stream.reads == 2


async def test_a_failure_is_raised_to_each_waiting_caller_and_to_none_later() -> None:
    stream = Slow()
    bounds = LogBounds(stream)
    stream.is_out = True
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(bounds)) for _ in range(3)]
        await turns(3)
        stream.gate.release()
        stream.gate.release()
    assert [task.result() for task in tasks] == ["unavailable"] * 3
    stream.is_out = False
    stream.gate.release()
    assert (await bounds.read()).last == 0


async def outcome(bounds: LogBounds) -> str:
    try:
        await bounds.read()
    except Unavailable as error:
        return error.code
    return ""


async def test_a_caller_that_gives_up_does_not_keep_others_from_an_answer() -> None:
    stream = Slow()
    bounds = LogBounds(stream)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await bounds.read()
    stream.gate.release()
    assert (await bounds.read()).last == 0
