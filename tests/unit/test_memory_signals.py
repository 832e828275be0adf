"""What tests rely on in the signals in memory beyond the contract shared with real ones."""

import asyncio

from eventhub.memory_signals import MemorySignals
from tests.builders import channel


async def test_a_listener_that_leaves_misses_what_was_just_said() -> None:
    signals, heard = MemorySignals(), list[bytes]()
    async with signals.hear(channel(), "sent", heard.extend, lambda: None):
        await signals.say(channel(), "sent", b"1")
    await asyncio.sleep(0)
    assert heard == []
