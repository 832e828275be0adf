"""Service: the life of a process: start everything, work until a stop, finish, exit.

Correctness never depends on a graceful end: acknowledged events are durable, and every consumer
resumes from what it has stored itself. Draining is a courtesy to clients.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

logger = structlog.get_logger(__name__)

Service = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event is set, finishes its current work, and returns; not before the event."""


class ServiceEnded(Exception):  # noqa: N818 - says what happened
    """A service returned before the stop."""


@contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """Set the event on SIGTERM or SIGINT, instead of ending the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def run(services: dict[str, Service], stop: asyncio.Event, drain_seconds: float) -> None:
    """Run services by name until `stop` is set, then wait while they drain.

    A service that fails cancels the others at once, and its error is raised. A service that still
    runs `drain_seconds` after the stop is cancelled, and named in the log.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_work(service, stop), name=n) for n, service in services.items()]
        await stop.wait()
        _, late = await asyncio.wait(tasks, timeout=drain_seconds)
        for task in late:
            logger.warning("drain_cut_short", service=task.get_name(), after_seconds=drain_seconds)
            task.cancel()


async def unless_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Run work that may be cut off anywhere, and return whether it was done before a stop."""
    async with asyncio.TaskGroup() as group:
        working, stopping = group.create_task(work), group.create_task(stop.wait())
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        stopping.cancel()
    return not working.cancelled()


async def _work(service: Service, stop: asyncio.Event) -> None:
    await service(stop)
    if not stop.is_set():
        raise ServiceEnded("a service ended before the stop")
