"""A process that ends is started again, and none outlives what it works for."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import psutil
import pytest

from projections import child as module
from projections.child import Child

WORKER = """
import sys
import msgspec
from projections.child import begin, say

class Setup(msgspec.Struct):
    word: str

setup = begin(Setup)
if setup.word == "dies":
    sys.exit(3)
say(setup.word)
import threading
threading.Event().wait()
"""


class Setup(msgspec.Struct):
    word: str


@pytest.fixture(autouse=True)
def _worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker_of_test.py").write_text(WORKER)
    root = Path(__file__).parents[3]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")


@asynccontextmanager
async def kept(word: str, lines: list[str], starts: list[str]) -> AsyncIterator[Child]:
    child = Child(
        "worker_of_test",
        lambda: Setup(word),
        kind="test",
        facts={"name": "x"},
        on_start=lambda: starts.append(word),
        on_line=lines.append,
    )
    stop = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(child.run(stop))
        yield child
        stop.set()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def test_a_killed_process_is_replaced_and_the_last_one_ends_with_its_owner() -> None:
    lines: list[str] = []
    async with kept("ready", lines, []) as child:
        await child.ready.wait()
        first = child.process
        assert first is not None
        child.kill(first, "a test")
        assert not child.ready.is_set()
        await child.ready.wait()
        last = child.process
        assert last is not None
        assert last.pid != first.pid
        child.kill(first, "too late")
        assert child.ready.is_set()
    assert lines == ["ready", "ready"]
    assert not psutil.pid_exists(last.pid)


async def test_a_process_that_ends_at_once_is_started_after_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", (0.0, 0.0, 3600.0))
    starts: list[str] = []
    async with kept("dies", [], starts) as child:
        await until(lambda: len(starts) == 3 and child.process is None)
    assert len(starts) == 3


async def test_what_is_not_ready_says_why() -> None:
    lines: list[str] = []
    async with kept("no room", lines, []) as child:
        await until(lambda: lines)
        assert not child.ready.is_set()
    assert lines == ["no room"]


async def test_a_process_ends_when_its_standard_input_does() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "worker_of_test"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(Setup("ready")) + b"\n")
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"ready\n"
        process.stdin.close()
        assert await process.wait() < 0
