"""Door: where connections come in; how many there may be, and how long one may say nothing.

The descriptors of a process are bounded, and without one left the broker, the tables and the files
of a hub cannot be reached. So some are kept: near the limit nothing is accepted, and who comes
waits in the kernel's queue until there is room. Who never says a whole request goes first.
"""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import Any, Final, cast

from eventhub import metrics
from eventhub.descriptors import most_descriptors
from eventhub.errors import Misconfigured
from eventhub.gateway.refusals import (
    BODIES,
    BODIES_PER_SECOND,
    BUSY,
    BUSY_SECONDS,
    Key,
    Refusals,
)
from eventhub.gateway.server import Visitor
from eventhub.identity.proxies import Proxies
from eventhub.logs import limited

BACKLOG: Final = 1024
"""Connections that wait in the kernel's queue."""
ACCEPTED_AT_ONCE: Final = 8
"""In one turn of the loop."""
FIRST_BYTE_SECONDS: Final = 10.0
HEAD_SECONDS: Final = 30.0
"""From the connection to the end of its first request's head; aiohttp looks after later ones."""
LOOK_SECONDS: Final = 0.25
"""Between two looks whose deadline is over, and whether there is room again."""
HURRY: Final = 10
"""Near the limit of descriptors deadlines are so many times shorter."""
MAX_BUSY: Final = 256
"""Who wait because they come too often; more are closed at once."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]


def reserve_of(limit: int) -> int:
    """Return how many of so many descriptors connections leave to everything else."""
    return min(max(32, limit // 8), 256)


class Door:
    """The listening sockets of a hub, and what came in."""

    def __init__(
        self,
        serve: Callable[[], Visitor],
        spawn: Spawn,
        proxies: Proxies,
        most_of_address: int | None,
    ) -> None:
        """Get ready; `open` lets clients in.

        Args:
            serve: makes the protocol of a connection that begins to say something.
            spawn: runs a coroutine that somebody owns.
            proxies: for whom no limit holds.
            most_of_address: connections of one address; None for a share of all, but for loopback.
        """
        self.serve = serve
        self._spawn = spawn
        self._proxies = proxies
        self._limit = most_descriptors()
        self._most = self._limit - reserve_of(self._limit)
        self._is_own = most_of_address is not None
        self._most_of_address = most_of_address or max(1, self._most // 4)
        self._listeners: list[socket.socket] = []
        self._of_address: Counter[str] = Counter()
        self._silent: dict[Doorway, float] = {}
        self._heads: dict[Visitor, float] = {}
        self._busy = 0
        self._timer: asyncio.TimerHandle | None = None
        self.refusals = Refusals()
        self.wasted = Refusals(BODIES, BODIES_PER_SECOND)
        self.is_shut = False
        """There are too few descriptors to let anybody in."""

    @property
    def wrong(self) -> list[str]:
        """What is wrong, for `/readyz`."""
        used = f"of {self._limit} descriptors only the reserve is left: nobody is let in for now"
        return [used] if self.is_shut else []

    async def open(self, host: str, port: int) -> int:
        """Listen; return the port.

        Raises:
            Misconfigured: it cannot.
        """
        loop = asyncio.get_running_loop()
        try:
            known = await loop.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, *_, address in dict.fromkeys(known):
                listener = _bound(family, (address[0], port, *address[2:]))
                self._listeners.append(listener)
                port = listener.getsockname()[1]
        except OSError as error:
            self.close()
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise Misconfigured(f"cannot listen on {host}:{port}: {reason}") from error
        self._listen(on=True)
        self._look()
        return port

    def close(self) -> None:
        """Let nobody in any more; who is in stays."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._listen(on=False)
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _listen(self, *, on: bool) -> None:
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            if on:
                loop.add_reader(listener.fileno(), self._accept, listener)
            else:
                loop.remove_reader(listener.fileno())

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                limited.warning("accept_failed", by="the system", error=error.strerror)
                self._shut()
                return
            if connection.fileno() >= self._most:  # the kernel gives the lowest that is free
                connection.close()
                self._shut()
                return
            self._let_in(connection, str(peer[0]))

    def _let_in(self, connection: socket.socket, address: str) -> None:
        if self._of_address[address] >= self._most_of_address and not self._is_exempt(address):
            metrics.TURNED_AWAY.labels("address").inc()
            limited.warning("too_many_connections", by=address, most=self._most_of_address)
            connection.close()
            return
        self._of_address[address] += 1
        connection.setblocking(False)
        self._spawn(self._connect(connection, Doorway(self, address)))

    def _is_exempt(self, address: str) -> bool:
        if self._proxies.trusts(address):
            return True
        return not self._is_own and ip_address(address.partition("%")[0]).is_loopback

    async def _connect(self, connection: socket.socket, doorway: "Doorway") -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: doorway, connection)
        except OSError:  # it is gone again
            connection.close()
            if doorway.transport is None:
                self.gone(doorway.address)

    def _shut(self) -> None:
        if not self.is_shut:
            self.is_shut = True
            self._listen(on=False)
            metrics.DOOR_SHUT.set(1)
            limited.warning("door_shut", by="descriptors", limit=self._limit)

    def _look(self) -> None:
        """Close whose deadline is over, and open the door again once there is room."""
        loop = asyncio.get_running_loop()
        now, hurry = loop.time(), HURRY if self.is_shut else 1
        for doorway, since in tuple(self._silent.items()):
            if now - since < FIRST_BYTE_SECONDS / hurry:
                break  # those that follow came later
            doorway.abort("silent")
        for handler, since in tuple(self._heads.items()):
            if handler._request_count or handler.transport is None:
                del self._heads[handler]
            elif now - since >= HEAD_SECONDS / hurry:
                metrics.TURNED_AWAY.labels("head").inc()
                del self._heads[handler]
                handler.transport.abort()
        if self.is_shut and self._has_room:
            self.is_shut = False
            self._listen(on=True)
            metrics.DOOR_SHUT.set(0)
            limited.warning("door_open", by="descriptors", limit=self._limit)
        self._timer = loop.call_later(LOOK_SECONDS, self._look)

    @property
    def _has_room(self) -> bool:
        """Tell whether there are some descriptors more than the reserve."""
        with suppress(OSError):
            descriptor = os.dup(self._listeners[0].fileno())
            os.close(descriptor)
            return descriptor < self._most - reserve_of(self._limit) // 8
        return False

    # --- For doorways -----------------------------------------------------------------------------

    def came(self, doorway: "Doorway") -> None:
        """Wait for what somebody says."""
        self._silent[doorway] = asyncio.get_running_loop().time()

    def spoke(self, doorway: "Doorway", handler: Visitor | None) -> None:
        """Wait for the rest of a request's head."""
        since = self._silent.pop(doorway, None)
        if handler is not None and since is not None:
            self._heads[handler] = since

    def gone(self, address: str) -> None:
        """Count a connection less."""
        self._of_address[address] -= 1
        if self._of_address[address] <= 0:
            del self._of_address[address]

    def wait(self) -> bool:
        """Have somebody wait who comes too often, if not too many do."""
        is_one_more = self._busy < MAX_BUSY
        self._busy += is_one_more
        return is_one_more

    def waited(self) -> None:
        """One that waited does no more."""
        self._busy -= 1


class Doorway(asyncio.Protocol):
    """A connection that has said nothing yet. Then aiohttp's protocol takes its place."""

    __slots__ = ("_door", "_is_busy", "address", "transport")

    def __init__(self, door: Door, address: str) -> None:
        self._door = door
        self._is_busy = False
        self.address = address
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first byte."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has another base
        self._door.came(self)

    def data_received(self, data: bytes) -> None:
        """Hand the connection on, or make it wait: it has been refused too often lately."""
        transport = self.transport
        assert transport is not None  # noqa: S101 - it was made
        if self._is_busy:
            return
        key = self._door.refusals.key(self.address, data)
        if self._door.refusals.is_over(key):
            self._be_busy(transport)
            return
        handler = self._door.serve()
        self._door.spoke(self, handler)
        _hand_over(handler, transport, self._door, self.address, key)
        handler.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._door.spoke(self, None)
        self._door.gone(self.address)
        if self._is_busy:
            self._door.waited()

    def abort(self, reason: str) -> None:
        """Close it at once."""
        metrics.TURNED_AWAY.labels(reason).inc()
        self._door.spoke(self, None)
        if self.transport is not None:
            self.transport.abort()

    def _be_busy(self, transport: asyncio.Transport) -> None:
        if not self._door.wait():
            self.abort("busy")
            return
        self._is_busy = True
        self._door.spoke(self, None)
        metrics.TURNED_AWAY.labels("busy").inc()
        transport.pause_reading()
        asyncio.get_running_loop().call_later(BUSY_SECONDS, _tell_busy, transport)


def _tell_busy(transport: asyncio.Transport) -> None:
    if not transport.is_closing():
        transport.write(BUSY)
        transport.close()


def _hand_over(
    handler: Visitor, transport: asyncio.Transport, door: Door, address: str, key: Key
) -> None:
    """Put aiohttp's protocol in a doorway's place; it tells when it is gone, or refused."""
    handler.on_gone = partial(door.gone, address)
    handler.on_refused = partial(door.refusals.note, key)
    handler.on_wasted = partial(door.wasted.note, Key(address, b"", has_credentials=False))
    transport.set_protocol(handler)
    handler.connection_made(transport)


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
