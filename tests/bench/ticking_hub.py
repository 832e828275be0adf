"""Ticking hub: a hub whose event loop also notes how late it comes to a timer of a millisecond.

`python -m tests.bench.ticking_hub FILE serve ...` is `eventhub serve ...`. On SIGUSR1 it writes two
numbers to FILE, in milliseconds, of the ticks since the last SIGUSR1: how late the latest one was,
and the most CPU that the loop's thread used between two. What is late beyond that was waiting.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Any

from eventhub import cli, hub
from eventhub.background import background

TICK_SECONDS = 0.001

_serve = hub.serve


async def serve(*arguments: Any) -> None:
    """Serve, and tick."""
    late: list[float] = []
    used: list[float] = []

    def tell() -> None:
        FILE.write_text(f"{1000 * max(late, default=0.0)} {1000 * max(used, default=0.0)}\n")
        late.clear()
        used.clear()

    async def tick() -> None:
        while True:
            due, cpu = time.perf_counter() + TICK_SECONDS, time.thread_time()
            await asyncio.sleep(TICK_SECONDS)
            late.append(time.perf_counter() - due)
            used.append(time.thread_time() - cpu)

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell)
    async with background() as tasks:
        tasks.start(tick(), name="tick")
        await _serve(*arguments)


if __name__ == "__main__":
    FILE = Path(sys.argv.pop(1))
    setattr(hub, "serve", serve)  # noqa: B010 - mypy would want its signature repeated
    cli.main()
