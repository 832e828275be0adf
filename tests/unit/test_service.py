"""Services work until the stop, finish what they hold, and never outlive a failure."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest
from structlog.testing import capture_logs

from eventhub.service import ServiceEnded, Services, run, unless_stopped

Stop = asyncio.Event


class Steady:
    """A service that records its life."""

    def __init__(self, *, holds: float = 0) -> None:
        self.states: list[str] = []
        self._holds = holds

    async def __call__(self, stop: Stop) -> None:
        self.states.append("started")
        try:
            await stop.wait()
            await asyncio.sleep(self._holds)
            self.states.append("drained")
        except asyncio.CancelledError:
            self.states.append("cancelled")
            raise


async def test_a_stop_drains_all_services() -> None:
    stop, services = Stop(), [Steady(), Steady(holds=0.01)]
    asyncio.get_running_loop().call_later(0.01, stop.set)
    with capture_logs() as logs:
        await run({"a": services[0], "b": services[1]}, stop, 5)
    assert [service.states for service in services] == [["started", "drained"]] * 2
    assert logs == []


async def test_a_service_that_is_late_is_cancelled_and_named() -> None:
    stop, late, prompt = Stop(), Steady(holds=60), Steady()
    stop.set()
    with capture_logs() as logs:
        await run({"late": late, "prompt": prompt}, stop, 0.05)
    assert (late.states, prompt.states) == (["started", "cancelled"], ["started", "drained"])
    assert logs == [
        {
            "event": "drain_cut_short",
            "log_level": "warning",
            "service": "late",
            "after_seconds": 0.05,
        }
    ]


@pytest.mark.parametrize("when", ["at work", "draining"])
async def test_a_failure_ends_the_other_services_at_once_and_is_raised(when: str) -> None:
    stop, other = Stop(), Steady(holds=60)

    async def failing(stop: Stop) -> None:
        await asyncio.sleep(0)
        if when == "draining":
            await stop.wait()
        raise KeyError("why")

    if when == "draining":
        asyncio.get_running_loop().call_later(0.01, stop.set)
    with pytest.RaisesGroup(pytest.RaisesExc(KeyError, match="why")):
        async with asyncio.timeout(40):
            await run({"failing": failing, "other": other}, stop, 60)
    assert other.states == ["started", "cancelled"]


async def test_a_service_that_returns_before_the_stop_is_a_failure() -> None:
    other = Steady()

    async def short(stop: Stop) -> None:
        pass

    with pytest.RaisesGroup(ServiceEnded):
        await run({"short": short, "other": other}, Stop(), 5)
    assert other.states in (["started", "cancelled"], [])


PROGRAM = """
import asyncio
from eventhub.service import on_signals, run

async def work(stop):
    print("working", flush=True)
    await stop.wait()
    await asyncio.sleep(0.05)
    print("drained", flush=True)

async def main():
    with on_signals() as signals:
        await run({"work": work}, signals.stop, 5)
    print("left", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_a_process_and_a_second_one_does_not_cut_it_short(
    number: signal.Signals,
) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"working\n"
        before = time.monotonic()
        process.send_signal(number)
        process.send_signal(number)
        output, _ = process.communicate(timeout=10)
        assert (output, process.returncode) == (b"drained\nleft\n", 0)
        assert time.monotonic() - before < 4


async def test_work_that_is_done_before_a_stop_says_so() -> None:
    stop = Stop()
    assert await unless_stopped(asyncio.sleep(0), stop)


async def test_work_is_cut_off_by_a_stop() -> None:
    stop, ended = Stop(), list[str]()

    async def work() -> None:
        stop.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cut off")

    assert not await unless_stopped(work(), stop)
    assert ended == ["cut off"]


async def test_work_that_fails_before_a_stop_raises_its_error() -> None:
    async def work() -> None:
        raise OSError("no disk")

    with pytest.raises(ExceptionGroup) as caught:
        await unless_stopped(work(), Stop())
    [error] = caught.value.exceptions
    assert str(error) == "no disk"


async def test_a_service_can_be_added_and_ended_while_others_go_on() -> None:
    stop, first, later, last = Stop(), Steady(), Steady(), Steady()
    services = Services(stop)

    async def change() -> None:
        services.start("later", later)
        await asyncio.sleep(0)
        await services.end("later")
        await services.end("none of this name")
        services.start("last", last)
        await asyncio.sleep(0)
        assert first.states == ["started"]
        stop.set()

    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        group.create_task(services.run({"first": first}, lambda: 5))
        await asyncio.sleep(0)
        group.create_task(change())
    assert [each.states for each in (first, later, last)] == [["started", "drained"]] * 3


async def test_a_service_that_is_ended_and_does_not_drain_is_cut_off_by_the_stop() -> None:
    stop, late = Stop(), Steady(holds=60)
    services = Services(stop)
    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        group.create_task(services.run({"late": late}, lambda: 0.05))
        await asyncio.sleep(0)
        ending = group.create_task(services.end("late"))
        await asyncio.sleep(0)
        stop.set()
    assert ending.done()
    assert late.states == ["started", "cancelled"]
