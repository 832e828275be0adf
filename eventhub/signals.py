"""Signals: what is said to the processes of a hub that listen now, and is kept nowhere.

Two implementations pass the contract tests: `jetstream/signalling.py` (NATS without JetStream) and
`memory_signals.py` (for tests). A signal arrives at most once, and in the order of its sender. It
is lost if a listener is cut off from the broker: whoever needs more than that says it again.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, Protocol

from eventhub.channel import Channel, encode_token

Topic = Literal["sent", "presence", "processes"]
"""What signals are about: messages that are sent and not stored, who is connected, or how the
processes are."""
MAX_SIGNAL_BYTES: Final = 512 << 10
"""Of one signal: less than the 1 MiB that a nats-server takes unless it is configured."""
PREFIX: Final = "eh-now"
"""What the subjects begin with. No stream has subjects below it."""

OnSignals = Callable[[list[bytes]], None]
"""Called with signals in order, by the event loop; must not raise or wait."""


def subject_of(channel: Channel | None, topic: Topic | Literal["*"]) -> str:
    """Return the subject of the signals of a channel; `*` for those of every topic.

    Without a channel they are about the hub itself. That subject has a token less, so that no
    channel has it, whatever its name.
    """
    if channel is None:
        return f"{PREFIX}.{topic}"
    return f"{PREFIX}.{encode_token(channel.name)}.{topic}"


class Signals(Protocol):
    """The signals of all channels, and of the hub itself. A process hears its own signals, too."""

    async def say(self, channel: Channel | None, topic: Topic, signal: bytes) -> None:
        """Hand a signal to the broker; who hears it is not known.

        Args:
            channel: whose listeners hear it; None: those of the hub itself.
            topic: what it is about.
            signal: at most `MAX_SIGNAL_BYTES`.

        Raises:
            Unavailable: the broker cannot be reached, or does not allow it; nobody hears it.
        """

    def hear(
        self,
        channel: Channel | None,
        topic: Topic,
        on_signals: OnSignals,
        on_gap: Callable[[], None],
    ) -> AbstractAsyncContextManager[None]:
        """Listen for the length of a block.

        Args:
            channel: whose signals; None: those about the hub itself.
            topic: which of them.
            on_signals: called with those that come.
            on_gap: called after signals may have been missed.

        Raises:
            Unavailable: the broker cannot be reached.
        """
