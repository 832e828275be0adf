"""Ticking hub: a hub whose event loop also notes how late it comes to a timer of a millisecond.

`python -m tests.bench.ticking_hub FILE serve ...` is `eventhub serve ...`. On SIGUSR1 it writes the
latest ticks since the last SIGUSR1 to FILE, as JSON: milliseconds, descending.
"""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from eventhub import cli, hub
from eventhub.background import background

TICK_SECONDS = 0.001
TOLD = 10
"""Of the latest ticks."""

_serve = hub.serve


async def serve(*arguments: Any) -> None:
    """Serve, and tick."""
    late: list[float] = []

    def tell() -> None:
        told = sorted(late, reverse=True)[:TOLD]
        late.clear()
        whole = FILE.with_suffix(".new")
        whole.write_text(json.dumps([1000 * seconds for seconds in told]))
        whole.rename(FILE)

    async def tick() -> None:
        while True:
            due = time.perf_counter() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            late.append(time.perf_counter() - due)

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell)
    async with background() as tasks:
        tasks.start(tick(), name="tick")
        await _serve(*arguments)


if __name__ == "__main__":
    FILE = Path(sys.argv.pop(1))
    setattr(hub, "serve", serve)  # noqa: B010 - mypy would want its signature repeated
    cli.main()
