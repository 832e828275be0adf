"""MemorySignals: signals within one process, for tests; passes the contract tests of signals."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from eventhub.channel import Channel
from eventhub.signals import OnSignals, Topic, subject_of


class MemorySignals:
    """The signals of everything in this process that shares this object."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[object, OnSignals]] = {}

    async def say(self, channel: Channel | None, topic: Topic, signal: bytes) -> None:
        """Call the listeners in the next turn of the loop."""
        for listener in tuple(self._listeners.get(subject_of(channel, topic), {})):
            asyncio.get_running_loop().call_soon(self._hand, channel, topic, listener, signal)

    def _hand(self, channel: Channel | None, topic: Topic, listener: object, signal: bytes) -> None:
        on_signals = self._listeners.get(subject_of(channel, topic), {}).get(listener)
        if on_signals is not None:
            on_signals([signal])

    @asynccontextmanager
    async def hear(
        self,
        channel: Channel | None,
        topic: Topic,
        on_signals: OnSignals,
        on_gap: Callable[[], None],
    ) -> AsyncIterator[None]:
        """Listen for the length of a block; nothing is ever missed."""
        listeners, listener = self._listeners.setdefault(subject_of(channel, topic), {}), object()
        listeners[listener] = on_signals
        try:
            yield
        finally:
            del listeners[listener]
