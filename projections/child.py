"""Child: a process that the hub starts, and starts again when it ends; both sides of it.

The hub writes one line to its standard input, all that the process gets to know, and leaves that
open: its end tells the process that the hub is gone. The process prints `ready` once it works.
"""

import asyncio
import ctypes
import os
import resource
import signal
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from eventhub.background import Background, background

RESTART_SECONDS = (0.0, 0.5, 2.0, 10.0)
"""Pauses before a process is started again; the last one repeats."""
LASTING_SECONDS = 60.0
"""A process that has run so long, or was killed on purpose, is started again without a pause."""
STOP_SECONDS = 3.0
NICENESS = 10
"""Gives way to the hub, which delivers messages, if both want a core."""
_M_ARENA_MAX = -8
S = TypeVar("S", bound=msgspec.Struct)

logger = structlog.get_logger(__name__)


class Child:
    """Keeps a process running."""

    def __init__(
        self,
        module: str,
        setup: Callable[[], msgspec.Struct],
        *,
        kind: str,
        facts: Mapping[str, str],
        on_start: Callable[[], None] = lambda: None,
        on_line: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """Prepare; `run` starts it.

        Args:
            module: that it runs.
            setup: returns what it gets to know, at every start.
            kind: the first word of the events that are logged, as in `query_process_ready`.
            facts: that are logged with them.
            on_start: called at every start.
            on_line: called with the line that it prints, `ready` or another.
        """
        self._module = module
        self._setup = setup
        self._kind = kind
        self._facts = facts
        self._on_start = on_start
        self._on_line = on_line
        self.process: Process | None = None
        """That runs now, ready or not."""
        self.killed: Process | None = None
        """The last one that `kill` has ended."""
        self.ready = asyncio.Event()
        self.tasks: Background | None = None
        """Owns what has to do with the process, while it is kept running."""

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the process running until `stop` is set."""
        loop = asyncio.get_running_loop()
        deaths = 0
        async with background() as tasks:
            self.tasks = tasks
            stopping = tasks.spawn(_wait(stop))
            try:
                while not stop.is_set():
                    started = loop.time()
                    process = await self._run_one(tasks, stopping)
                    if stop.is_set():
                        break
                    if process is self.killed or loop.time() - started > LASTING_SECONDS:
                        deaths = 0
                        continue
                    pause = RESTART_SECONDS[min(deaths, len(RESTART_SECONDS) - 1)]
                    deaths += 1
                    await asyncio.wait((stopping,), timeout=pause)
            finally:
                self.tasks = None

    def kill(self, process: Process, reason: str) -> None:
        """Kill a process, unless another one has taken its place; the next one starts at once."""
        if process.returncode is None and process is self.process:
            event = f"{self._kind}_killed"
            logger.warning(event, **self._facts, reason=reason)
            self.ready.clear()
            self.killed = process
            _kill(process)

    async def _run_one(self, tasks: Background, stopping: asyncio.Task[None]) -> Process:
        """Run one process to its end, which `stopping` brings about; return it."""
        self.process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", self._module), stdin=PIPE, stdout=PIPE
        )
        self._on_start()
        assert process.stdin is not None  # noqa: S101 - PIPE
        assert process.stdout is not None  # noqa: S101 - PIPE
        try:
            with suppress(ConnectionError):
                process.stdin.write(msgspec.json.encode(self._setup()) + b"\n")
                await process.stdin.drain()
            ended = tasks.spawn(_wait_for(process))
            watching = tasks.spawn(self._watch(process, process.stdout))
            await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
            self.ready.clear()
            watching.cancel()
            if not stopping.done():
                event = f"{self._kind}_process_ended"
                logger.warning(event, **self._facts, status=process.returncode)
        finally:
            self.ready.clear()
            await _end(process)
            self.process = None
        return process

    async def _watch(self, process: Process, output: asyncio.StreamReader) -> None:
        line = (await output.readline()).decode().strip()
        self._on_line(line)
        if line.startswith("ready"):
            event = f"{self._kind}_process_ready"
            logger.info(event, **self._facts, pid=process.pid)
            self.ready.set()


async def _end(process: Process) -> None:
    """End a process. It need not tidy up: what it has stored is safe at any moment."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            _kill(process)
    await process.wait()


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()


async def _wait_for(process: Process) -> None:
    await process.wait()


# --- In the process -------------------------------------------------------------------------------


def begin(kind: type[S]) -> S:
    """Return what the process gets to know; from now on it ends with the hub, and gives way to it.

    Args:
        kind: of the setup.
    """
    setup = msgspec.json.decode(sys.stdin.buffer.readline(), type=kind)
    threading.Thread(target=_end_with_hub, daemon=True).start()
    with suppress(AttributeError):  # of glibc: each thread's own one would reserve 64 MiB
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return setup


def limit_address_space(more: int) -> None:
    """Allow so many bytes more than are mapped now; beyond, allocations fail."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def say(line: str) -> None:
    """Tell the hub that the process is ready, or why it is not."""
    print(line, flush=True)  # noqa: T201 - the hub reads it


def _end_with_hub() -> None:
    """Wait until the hub, which writes nothing more, is gone; then end at once."""
    while os.read(0, 1):  # not through `sys.stdin`, whose lock would stop the interpreter's exit
        pass
    os.kill(os.getpid(), signal.SIGKILL)
