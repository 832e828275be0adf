"""Outlet: what a subscriber writes to.

WebSockets, SSE streams and the answers to polls are outlets.
"""

from collections.abc import Callable
from typing import Protocol

from eventhub.delivery.broadcast import Sink
from eventhub.errors import EventHubError

MAX_UNSENT_BYTES = 256 << 10
"""Above this a socket is full: its client is slower than the channel."""


class Stalled(ConnectionError):  # noqa: N818 - a state of the client, reported by a close code
    """The client took nothing for `server.stalled_after` seconds."""


class Outlet(Protocol):
    """The way to one client, with flow control. Everything that is written is whole frames."""

    on_full: Callable[[], None]
    """Called when the client takes no more, for now or for good. Set by the subscriber."""

    @property
    def is_full(self) -> bool:
        """More bytes wait for the client than they should, such as `MAX_UNSENT_BYTES`."""

    @property
    def is_closing(self) -> bool:
        """Nothing more can be written."""

    @property
    def sink(self) -> Sink:
        """Where broadcasts write, until `on_full` is called."""

    def push(self, data: bytes) -> None:
        """Write bytes without waiting, full or not; ignored once the outlet is closing."""

    def ping(self) -> None:
        """Keep proxies from closing a silent connection."""

    async def drain(self) -> None:
        """Wait until the outlet is not full.

        Raises:
            Stalled: the client took nothing for `server.stalled_after` seconds.
            ConnectionError: the connection is gone.
        """

    async def fail(self, error: EventHubError) -> None:
        """Send the client an error that ends its subscription, and close."""
