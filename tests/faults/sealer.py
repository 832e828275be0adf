"""A process that seals a log, and kills itself at one step: `python -m tests.faults.sealer`."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from eventhub.jetstream import JetStreamLog
from projections.sealing import Sealer
from projections.segment_file import ParquetSegments
from tests.builders import channel
from tests.sealing import AT_ONCE, sealing_of

STEPS: Final = ("store", "stored", "commit", "trim")
"""Methods of `Sealing` whose calls change something, or prove it."""
MOST_EVENTS: Final = 4

Step = Callable[..., Coroutine[Any, Any, Any]]


async def seal_and_die(url: str, token: str, fatal: str) -> None:
    """Seal all that a log holds, up to the second call of a step, after which the process ends.

    A trim ends in the middle.
    """
    async with JetStreamLog.connect(url, token=token, segments=ParquetSegments()) as log:
        stream = await log.open(channel())
        sealing = await sealing_of(log, stream)
        calls = 0

        def fatally(step: Step) -> Step:
            async def call(*arguments: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == 2 and fatal == "trim":
                    arguments = (dict(list(arguments[0].items())[:1]),)
                result = await step(*arguments)
                if calls == 2:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            return call

        setattr(sealing, fatal, fatally(getattr(sealing, fatal)))
        sealer = Sealer(stream, sealing, AT_ONCE, MOST_EVENTS)
        while await sealer.run_once():
            pass


if __name__ == "__main__":
    asyncio.run(seal_and_die(*sys.argv[1:]))
