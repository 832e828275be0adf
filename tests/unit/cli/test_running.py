"""A coroutine gives its result, or the one error that explains why it did not."""

import asyncio
import sys

import pytest

from eventhub.cli.running import SWITCH_SECONDS, run
from eventhub.errors import EventHubError, Unavailable


async def fail_together(*errors: Exception) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async with asyncio.TaskGroup() as group:
        for error in errors:
            group.create_task(fail(error))


def test_the_result_is_returned() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert run(work()) == 7


def test_an_error_in_nested_task_groups_is_raised_as_itself() -> None:
    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail_together(KeyError("other"), Unavailable("try later")))

    with pytest.raises(EventHubError, match="try later"):
        run(work())


def test_a_group_without_an_expected_error_is_raised_whole() -> None:
    with pytest.RaisesGroup(KeyError, ValueError):
        run(fail_together(KeyError("a"), ValueError("b")))


def test_the_event_loop_waits_for_the_interpreter_a_moment_only() -> None:
    async def work() -> float:
        await asyncio.sleep(0)
        return sys.getswitchinterval()

    assert run(work()) == pytest.approx(SWITCH_SECONDS)
