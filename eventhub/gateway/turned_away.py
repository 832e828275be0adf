"""Turned away: connections of an address that has or opens too many. They learn so, and are closed.

Nothing is read from them. They stay open for a second: a client that is still sending its request
when its connection is closed would lose the answer.
"""

import asyncio
import socket
from contextlib import suppress
from typing import Final

MOST: Final = 256
"""Connections that may be read from by their clients still; further ones are closed at once."""
SECONDS: Final = 1.0
ANSWER: Final = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Cache-Control: no-store\r\nContent-Type: application/json\r\nContent-Length: 137\r\n\r\n"
    b'{"_error":{"code":"too_many_connections","message":"this address has or opens too many'
    b' connections: wait","retry":true,"retry_after":5}}\n'
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
