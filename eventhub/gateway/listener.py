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
from eventhub.config import UNIX
from eventhub.descriptors import most_descriptors
from eventhub.gateway.sockets import Sockets
from eventhub.logs import limited

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
        self._bound: Sockets | None = None
        self.is_paused = False
        """Too few descriptors are left to accept connections."""

    @property
    def wrong(self) -> list[str]:
        """What is wrong, for `/readyz`."""
        line = f"of {self._limit} descriptors only the reserve is left: no connection is accepted"
        return [line] if self.is_paused else []

    def open(self, sockets: Sockets) -> None:
        """Accept connections; the sockets are this listener's from now on."""
        self._bound = sockets
        self._accept_more(on=True)

    def close(self) -> None:
        """Accept no more; accepted connections stay open. Idempotent."""
        self._accept_more(on=False)
        if self._bound is not None:
            self._bound.close()

    def resume(self) -> None:
        """Accept again after a pause, if there are descriptors."""
        if self.is_paused and self._has_room:
            self.is_paused = False
            self._accept_more(on=True)
            metrics.DOOR_SHUT.set(0)
            limited.warning("door_open", by="descriptors", limit=self._limit)

    @property
    def _sockets(self) -> list[socket.socket]:
        return [] if self._bound is None else self._bound.all

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
            self._on_accepted(connection, _address_of(connection, peer))

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


def _address_of(connection: socket.socket, peer: Any) -> str:
    """Return the address of a peer; one on a Unix socket may have any name that it likes."""
    return UNIX if connection.family == socket.AF_UNIX else str(peer[0])
