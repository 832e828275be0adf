"""Silent: connections that have sent nothing yet, each of which is a descriptor and little else.

A transport and the task that makes it cost several times as much as to accept a connection, and
most connections of a flood never say a word. So the kernel watches all of them with one descriptor
until the first byte.
"""

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Final

from eventhub import metrics
from eventhub.gateway.newcomers import Newcomers

SPEAKING_AT_ONCE: Final = 16
"""Connections that are handed on in one turn of the event loop."""


class SilentConnections:
    """The silent connections of a hub.

    Args:
        newcomers: ends those that stay silent.
        on_first_byte: called with a connection that has sent something, and its address; it owns
            the connection.
        on_closed: called with the address of a connection that was closed before that.
    """

    def __init__(
        self,
        newcomers: Newcomers,
        on_first_byte: Callable[[socket.socket, str], None],
        on_closed: Callable[[str], None],
    ) -> None:
        self._newcomers = newcomers
        self._on_first_byte = on_first_byte
        self._on_closed = on_closed
        self._all: dict[int, _Silent] = {}
        """By descriptor."""
        self._epoll = select.epoll()
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._on_events)

    def add(self, connection: socket.socket, address: str) -> None:
        """Wait for the first byte of a connection, which must not block."""
        silent = _Silent(self, connection, address)
        self._all[connection.fileno()] = silent
        self._epoll.register(connection, select.EPOLLIN | select.EPOLLRDHUP)
        self._newcomers.add(silent)

    def close(self) -> None:
        """Close all of them; none may be added any more. Idempotent."""
        for silent in tuple(self._all.values()):
            self.end(silent)
        if not self._epoll.closed:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()

    def end(self, silent: "_Silent") -> None:
        """Close one of them."""
        self._forget(silent)
        silent.connection.close()
        self._on_closed(silent.address)

    def _forget(self, silent: "_Silent") -> None:
        self._newcomers.on_first_byte(silent, None)
        self._epoll.unregister(silent.connection)
        del self._all[silent.connection.fileno()]

    def _on_events(self) -> None:
        for descriptor, _ in self._epoll.poll(0, SPEAKING_AT_ONCE):
            silent = self._all[descriptor]
            try:
                is_speaking = bool(silent.connection.recv(1, socket.MSG_PEEK))
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:  # the client has reset it
                is_speaking = False
            if is_speaking:
                self._forget(silent)
                self._on_first_byte(silent.connection, silent.address)
            else:
                self.end(silent)


class _Silent:
    """One of them, as `Newcomers` knows it."""

    __slots__ = ("_all", "address", "connection")

    def __init__(self, all_: SilentConnections, connection: socket.socket, address: str) -> None:
        self._all = all_
        self.connection = connection
        self.address = address

    def abort(self, reason: str) -> None:
        """Close it at once."""
        metrics.TURNED_AWAY.labels(reason).inc()
        self._all.end(self)
