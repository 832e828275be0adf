"""Hubs of their own process, and how to wait for what they do."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

HUB = """
import asyncio, sys
from pathlib import Path
from eventhub.broker import EmbeddedBroker

async def main():
    async with EmbeddedBroker(Path(sys.argv[1])) as broker:
        print(broker.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(40):
        while not condition():
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def start_hub(folder: Path) -> tuple[asyncio.subprocess.Process, int]:
    """Start a hub's broker in another process; return that process and the broker's id."""
    hub = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HUB, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert hub.stdout is not None
    async with asyncio.timeout(40):
        return hub, int(await hub.stdout.readline())
