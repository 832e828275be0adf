"""Listener: the sockets on which connections arrive, as long as there are descriptors for them.

The descriptors of a process are limited, and without a free one the hub cannot reach its broker,
tables and files. So a reserve is kept: near the limit nothing is accepted, and new connections wait
in the kernel's queue until there is room (ADR-42).
"""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from eventhub import metrics
from eventhub.descriptors import most_descriptors
from eventhub.errors import Misconfigured
from eventhub.logs import limited

BACKLOG: Final = 1024
"""Connections that wait in the kernel's queue."""
ACCEPTED_AT_ONCE: Final = 8
"""Connections that are accepted in one turn of the event loop."""


def reserve_of(limit: int) -> int:
    """Return how many of `limit` descriptors connections leave to everything else."""
    return min(max(32, limit // 8), 256)


class Listener:
    """The listening sockets of a hub.

    Args:
        on_accepted: called with each connection and its peer's address; it owns the socket.
    """

    def __init__(self, on_accepted: Callable[[socket.socket, str], None]) -> None:
        self._on_accepted = on_accepted
        self._limit = most_descriptors()
        self.most = self._limit - reserve_of(self._limit)
        """Descriptors that connections may use."""
        self._sockets: list[socket.socket] = []
        self.is_paused = False
        """Too few descriptors are left to accept connections."""

    @property
    def wrong(self) -> list[str]:
        """What is wrong, for `/readyz`."""
        line = f"of {self._limit} descriptors only the reserve is left: no connection is accepted"
        return [line] if self.is_paused else []

    async def open(self, host: str, port: int) -> int:
        """Listen; return the port.

        Raises:
            Misconfigured: the address cannot be used.
        """
        loop = asyncio.get_running_loop()
        try:
            known = await loop.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, *_, address in dict.fromkeys(known):
                listening = _bound(family, (address[0], port, *address[2:]))
                self._sockets.append(listening)
                port = listening.getsockname()[1]
        except OSError as error:
            self._close_sockets()
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise Misconfigured(f"cannot listen on {host}:{port}: {reason}") from error
        self._accept_more(on=True)
        return port

    def close(self) -> None:
        """Accept no more; accepted connections stay open. Idempotent."""
        self._accept_more(on=False)
        self._close_sockets()

    def resume(self) -> None:
        """Accept again after a pause, if there are descriptors."""
        if self.is_paused and self._has_room:
            self.is_paused = False
            self._accept_more(on=True)
            metrics.DOOR_SHUT.set(0)
            limited.warning("door_open", by="descriptors", limit=self._limit)

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            listening.close()
        self._sockets.clear()

    def _accept_more(self, *, on: bool) -> None:
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            if on:
                loop.add_reader(listening.fileno(), self._accept, listening)
            else:
                loop.remove_reader(listening.fileno())

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                limited.warning("accept_failed", by="the system", error=error.strerror)
                self._pause()
                return
            if connection.fileno() >= self.most:  # the kernel gives the lowest that is free
                connection.close()
                self._pause()
                return
            self._on_accepted(connection, str(peer[0]))

    def _pause(self) -> None:
        if not self.is_paused:
            self.is_paused = True
            self._accept_more(on=False)
            metrics.DOOR_SHUT.set(1)
            limited.warning("door_shut", by="descriptors", limit=self._limit)

    @property
    def _has_room(self) -> bool:
        """Some descriptors more than the reserve are free."""
        with suppress(OSError):
            descriptor = os.dup(self._sockets[0].fileno())
            os.close(descriptor)
            return descriptor < self.most - reserve_of(self._limit) // 8
        return False


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
