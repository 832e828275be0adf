"""Service: the life of a process: start everything, work until a stop, finish, exit.

Correctness never depends on a graceful end: acknowledged events are durable, and every consumer
resumes from what it has stored itself. Draining is a courtesy to clients.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

logger = structlog.get_logger(__name__)

Service = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event is set, finishes its current work, and returns; not before the event."""


class ServiceEnded(Exception):  # noqa: N818 - says what happened
    """A service returned before the stop."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What a process was asked for by signals."""

    stop: asyncio.Event
    """By SIGTERM or SIGINT, or by SIGHUP if the terminal of the process is gone."""
    reload: asyncio.Event
    """By SIGHUP."""


@contextmanager
def on_signals() -> Iterator[Signals]:
    """Set events on signals, instead of ending the process."""
    signals = Signals(asyncio.Event(), asyncio.Event())
    had_terminal = os.isatty(0)

    def hang_up() -> None:
        is_gone = had_terminal and not os.isatty(0)
        (signals.stop if is_gone else signals.reload).set()

    loop = asyncio.get_running_loop()
    handlers = {signal.SIGTERM: signals.stop.set, signal.SIGINT: signals.stop.set}
    handlers[signal.SIGHUP] = hang_up
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield signals
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


class Services:
    """The services of a process, by name. While they run, some may be added, and others ended."""

    def __init__(self, stop: asyncio.Event) -> None:
        """Prepare; `run` runs them until `stop` is set."""
        self._stop = stop
        self._group: asyncio.TaskGroup | None = None
        self._running: dict[asyncio.Task[None], asyncio.Event] = {}
        """What makes each of them drain."""

    async def run(self, first: Mapping[str, Service], drain_seconds: Callable[[], float]) -> None:
        """Run services until the stop, then wait while all that run drain.

        A service that fails cancels the others at once, and its error is raised. A service that
        still runs `drain_seconds()` after the stop is cancelled, and named in the log.
        """
        async with asyncio.TaskGroup() as self._group:
            for name, service in first.items():
                self.start(name, service)
            await self._stop.wait()
            seconds = drain_seconds()
            for stop in self._running.values():
                stop.set()
            if self._running:
                _, late = await asyncio.wait(tuple(self._running), timeout=seconds)
                for task in late:
                    logger.warning(
                        "drain_cut_short", service=task.get_name(), after_seconds=seconds
                    )
                    task.cancel()

    def start(self, name: str, service: Service) -> None:
        """Start one more service."""
        assert self._group is not None  # noqa: S101 - `run` has been called
        stop = asyncio.Event()
        task = self._group.create_task(_work(service, stop), name=name)
        self._running[task] = stop
        task.add_done_callback(lambda task: self._running.pop(task, None))

    async def end(self, name: str) -> None:
        """End a service, and wait while it drains; no error if there is none of this name."""
        ending = [task for task in self._running if task.get_name() == name]
        for task in ending:
            self._running[task].set()
        if ending:
            await asyncio.wait(ending)

    async def exchange(self, name: str, new: Mapping[str, Service]) -> None:
        """End a service, and start another one in its place, if there is one."""
        await self.end(name)
        for each, service in new.items():
            self.start(each, service)


async def run(services: dict[str, Service], stop: asyncio.Event, drain_seconds: float) -> None:
    """Run services by name until `stop` is set: see `Services.run`."""
    await Services(stop).run(services, lambda: drain_seconds)


async def unless_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Run work that may be cut off anywhere, and return whether it was done before a stop."""
    async with asyncio.TaskGroup() as group:
        working, stopping = group.create_task(work), group.create_task(stop.wait())
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        stopping.cancel()
    return not working.cancelled()


def until_stopped(work: Callable[[], Coroutine[Any, Any, None]]) -> Service:
    """Return a service that the stop cancels: a follower resumes from what it has stored."""

    async def until_stopped(stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work())
            await stop.wait()
            task.cancel()

    return until_stopped


async def _work(service: Service, stop: asyncio.Event) -> None:
    await service(stop)
    if not stop.is_set():
        raise ServiceEnded("a service ended before the stop")
