"""Turned away: connections of an address that has or opens too many: answered, and closed.

Nothing is read from them. They stay open for a second: a client that is still sending its request
when its connection is closed would lose the answer.
"""

import asyncio
import socket
from contextlib import suppress
from typing import Final

from eventhub.errors import Rejected
from eventhub.gateway.guard import closing_answer

MOST: Final = 256
"""Connections whose clients may still read the answer; further ones are closed at once."""
SECONDS: Final = 1.0
ANSWER: Final = closing_answer(
    Rejected(
        "too_many_connections",
        "this address has or opens too many connections: wait",
        retry_after=5,
    )
)


class TurnedAway:
    """The connections that were answered a moment ago."""

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()

    def __len__(self) -> int:
        return len(self._open)

    def answer(self, connection: socket.socket) -> None:
        """Answer a connection, and close it."""
        if len(self._open) >= MOST:
            connection.close()
            return
        with suppress(OSError):
            connection.setblocking(False)
            connection.send(ANSWER)
            connection.shutdown(socket.SHUT_WR)
        self._open.add(connection)
        asyncio.get_running_loop().call_later(SECONDS, self._close, connection)

    def close(self) -> None:
        """Close all of them now."""
        for connection in tuple(self._open):
            self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        connection.close()
        self._open.discard(connection)
