"""Newcomers: connections that have not made a request yet, and the deadlines for it.

To close a connection takes about as long as to accept one, and many that came together are due
together. So a few are closed at once, and what everybody else waits for comes in between.
"""

import asyncio
from itertools import islice
from typing import Final, Protocol

from eventhub import metrics
from eventhub.gateway.server import HttpConnection

FIRST_BYTE_SECONDS: Final = 10.0
HEAD_SECONDS: Final = 30.0
"""From the first byte to the end of the first request's head; aiohttp limits later requests."""
CHECK_SECONDS: Final = 0.25
"""Between two checks of deadlines."""
CLOSED_AT_ONCE: Final = 16
NEXT_SECONDS: Final = 0.005
"""Between two checks while more are due than are closed at once."""


class Silent(Protocol):
    """A connection that has sent nothing."""

    def abort(self, reason: str) -> None:
        """Close it at once; it is counted under the reason."""


class Newcomers:
    """The newcomers of a hub, in the order in which they came."""

    def __init__(self) -> None:
        self._silent: dict[Silent, float] = {}
        """When each connection came that has sent nothing."""
        self._heads: dict[HttpConnection, float] = {}
        """When each connection came that has not sent a whole head."""

    def add(self, newcomer: Silent) -> None:
        """Start the deadline of the first byte."""
        self._silent[newcomer] = asyncio.get_running_loop().time()

    def on_first_byte(self, newcomer: Silent, http: HttpConnection | None) -> None:
        """Start the deadline of the request's head, if anything parses it; idempotent."""
        since = self._silent.pop(newcomer, None)
        if http is not None and since is not None:
            self._heads[http] = since

    def close_late(self, hurry: int) -> float:
        """Close some of those that are past their deadline; return the seconds until the next call.

        Args:
            hurry: the deadlines are divided by it.
        """
        now, closed = asyncio.get_running_loop().time(), 0
        for newcomer, since in tuple(islice(self._silent.items(), CLOSED_AT_ONCE)):
            if now - since < FIRST_BYTE_SECONDS / hurry:
                break  # those that follow came later
            newcomer.abort("silent")
            closed += 1
        for http, since in tuple(self._heads.items()):
            if closed == CLOSED_AT_ONCE:
                break
            if http.has_had_request or http.transport is None:
                del self._heads[http]
            elif now - since >= HEAD_SECONDS / hurry:
                metrics.TURNED_AWAY.labels("head").inc()
                del self._heads[http]
                http.transport.abort()
                closed += 1
        return CHECK_SECONDS if closed < CLOSED_AT_ONCE else NEXT_SECONDS
