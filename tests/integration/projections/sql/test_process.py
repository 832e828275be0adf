"""A process answers what the hub asks, and one that does not is replaced."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from eventhub.config import SqlEndpoint
from eventhub.config.handlers.sql import SqlLimits
from eventhub.errors import Rejected, Unavailable
from eventhub.queries import Question
from eventhub.stream import EventStream
from projections.sql import process as module
from projections.sql.messages import ANSWERS, Setup
from projections.sql.process import SqlProcess
from tests.builders import make_event

UNSTOPPABLE = "SELECT length(lpad('x', 2000000000, 'y'))"
"""DuckDB does not interrupt a single call of a function."""
COUNT = "SELECT count(*) AS n FROM chat"


@pytest.fixture
async def process(setup: Callable[[], Setup]) -> AsyncIterator[SqlProcess]:
    """A process that runs, with a limit of half a second."""
    limits = SqlLimits(seconds=0.5, rows=1000, memory="256MiB", concurrent=2)
    entry = SqlEndpoint(name="ask", pattern="/ask", limits=limits)
    process, stop = SqlProcess(entry, setup), asyncio.Event()
    async with asyncio.timeout(50), asyncio.TaskGroup() as group:
        group.create_task(process.run(stop))
        yield process
        stop.set()


def pid_of_worker() -> int:
    """Return the id of the process that answers now."""
    children = psutil.Process().children()
    [worker] = [child.pid for child in children if "projections.sql.worker" in child.cmdline()]
    return worker


async def rows(process: SqlProcess, sql: str, **more: Any) -> list[dict[str, Any]]:
    answer = await process.ask(Question(sql=sql, **more), "a client")
    with answer.file as file:
        found: list[dict[str, Any]] = msgspec.json.decode(file.read())
    return found


async def test_a_query_sees_the_writes_that_it_names(
    process: SqlProcess, stream: EventStream
) -> None:
    assert await rows(process, COUNT) == [{"n": 3}]
    await stream.append(make_event(id="new"), expect=0)
    assert await rows(process, COUNT, at_least=f"{stream.epoch}.4") == [{"n": 4}]


async def test_a_query_that_cannot_be_stopped_is_killed_and_the_next_is_answered(
    process: SqlProcess, setup: Callable[[], Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.2)
    assert await rows(process, COUNT) == [{"n": 3}]
    pid = pid_of_worker()
    with pytest.raises(Rejected, match="was killed") as refusal:
        await rows(process, UNSTOPPABLE)
    assert refusal.value.code == "too_costly"
    assert await rows(process, COUNT) == [{"n": 3}]
    assert pid_of_worker() != pid
    assert not list((Path(setup().folder) / ANSWERS).iterdir())


async def test_a_process_that_dies_is_replaced_and_its_queries_are_to_be_repeated(
    process: SqlProcess,
) -> None:
    assert await rows(process, COUNT) == [{"n": 3}]
    pid = pid_of_worker()
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(rows_or_error(process))
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
    assert isinstance(asking.result(), Unavailable | list)
    while isinstance(found := await rows_or_error(process), Unavailable):
        await asyncio.sleep(0.01)
    assert found == [{"n": 3}]
    assert pid_of_worker() != pid


async def rows_or_error(process: SqlProcess) -> object:
    try:
        return await rows(process, COUNT)
    except Unavailable as error:
        return error
