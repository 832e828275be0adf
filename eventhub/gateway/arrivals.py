"""Arrivals: connections from their acceptance to their first request.

The connections of one address are limited. One that does not send a whole request in time is
closed, the sooner the fewer descriptors are left; one whose kind was refused too often waits.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from ipaddress import ip_address
from typing import Any, Final, cast

from eventhub import metrics
from eventhub.config import UNIX, Server
from eventhub.gateway import not_http
from eventhub.gateway.listener import Listener
from eventhub.gateway.newcomers import Newcomers
from eventhub.gateway.not_http import is_http
from eventhub.gateway.server import HttpConnection
from eventhub.gateway.silent import SilentConnections
from eventhub.gateway.sockets import Sockets
from eventhub.gateway.throttle import (
    BODIES,
    BODIES_PER_SECOND,
    BUSY,
    BUSY_SECONDS,
    Key,
    Throttle,
)
from eventhub.gateway.tls import HANDSHAKE_SECONDS, Certificate
from eventhub.gateway.turned_away import TurnedAway
from eventhub.identity.proxies import Proxies, source_of
from eventhub.logs import limited

HURRY: Final = 10
"""While few descriptors are left, deadlines are divided by this."""
MAX_BUSY: Final = 256
"""Connections that wait because they were refused too often; further ones are closed at once."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Arrivals:
    """All connections of a hub, and the deadlines of those that have not made a request."""

    def __init__(
        self,
        serve: Callable[[], HttpConnection],
        spawn: Spawn,
        proxies: Proxies,
        server: Server,
        certificate: Certificate | None = None,
    ) -> None:
        """Get ready; `open` accepts connections.

        Args:
            serve: makes the protocol of a connection that begins to send.
            spawn: runs a coroutine under an owner that ends it.
            proxies: addresses without a limit.
            server: the connections that one address may have, from which loopback is exempt if the
                file does not name a number, and open a second.
            certificate: for TLS; None for plain HTTP.
        """
        self.serve = serve
        self._spawn = spawn
        self._certificate = certificate
        self._listener = Listener(self._on_accepted)
        self.limit(proxies, server)
        self._of_address: Counter[str] = Counter()
        self.newcomers = Newcomers()
        self._silent = SilentConnections(self.newcomers, self._on_first_byte, self.on_closed)
        self._turned_away = TurnedAway()
        self._busy = 0
        self._timer: asyncio.TimerHandle | None = None
        self.refused = Throttle()
        self.wasted = Throttle(BODIES, BODIES_PER_SECOND)

    def limit(self, proxies: Proxies, server: Server) -> None:
        """Limit the connections that come from now on: see `__init__`."""
        self._proxies = proxies
        most, limits = server.max_connections_per_address, server.limits
        self._is_limit_configured = most is not None
        self._most_of_address = most or max(1, self._listener.most // 4)
        self._most_a_second = limits.connects
        self._opened = Throttle(limits.burst * limits.connects, limits.connects)

    @property
    def wrong(self) -> list[str]:
        """What is wrong, for `/readyz`."""
        return self._listener.wrong

    def open(self, sockets: Sockets) -> None:
        """Accept connections from bound sockets."""
        self._listener.open(sockets)
        self._check()

    def close(self) -> None:
        """Accept no more connections; those that are open stay."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._listener.close()
        self._turned_away.close()

    def end(self) -> None:
        """Close the connections that have sent nothing; others are their protocol's. Idempotent."""
        self._silent.close()

    def _on_accepted(self, connection: socket.socket, address: str) -> None:
        is_exempt = self._is_exempt(address)
        address = source_of(address)
        if not is_exempt:
            key = Key(address, b"", has_credentials=False)
            if self._of_address[address] >= self._most_of_address:
                self._turn_away(connection, address, "address", self._most_of_address)
                return
            if self._opened.is_over(key):
                self._turn_away(connection, address, "connects", self._most_a_second)
                return
            self._opened.note(key)
        self._of_address[address] += 1
        connection.setblocking(False)
        self._silent.add(connection, address)

    def _on_first_byte(self, connection: socket.socket, address: str) -> None:
        self._spawn(self._connect(connection, Arrival(self, address)))

    def _turn_away(self, connection: socket.socket, address: str, reason: str, most: float) -> None:
        """Close a connection, with an answer unless it would cost a handshake of TLS."""
        metrics.TURNED_AWAY.labels(reason).inc()
        limited.warning("too_many_connections", by=address, reason=reason, most=most)
        if self._certificate is None:
            self._turned_away.answer(connection)
        else:
            connection.close()

    def _is_exempt(self, address: str) -> bool:
        if address == UNIX or self._proxies.trusts(address):
            return True
        return not self._is_limit_configured and ip_address(address.partition("%")[0]).is_loopback

    async def _connect(self, connection: socket.socket, arrival: "Arrival") -> None:
        loop = asyncio.get_running_loop()
        try:
            if self._certificate is None:
                await loop.connect_accepted_socket(lambda: arrival, connection)
            else:
                await loop.connect_accepted_socket(
                    lambda: arrival,
                    connection,
                    ssl=await self._certificate.context(),
                    ssl_handshake_timeout=HANDSHAKE_SECONDS,
                )
        except OSError:  # the client has left already, or does not speak TLS
            metrics.TURNED_AWAY.labels("left" if self._certificate is None else "tls").inc()
            connection.close()
            if arrival.transport is None:
                self.on_closed(arrival.address)

    def _check(self) -> None:
        """Close newcomers that are late, and accept connections again once there is room."""
        seconds = self.newcomers.close_late(HURRY if self._listener.is_paused else 1)
        self._listener.resume()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._check)

    # --- Called by an arrival ---------------------------------------------------------------------

    def on_closed(self, address: str) -> None:
        """Count one connection less."""
        self._of_address[address] -= 1
        if self._of_address[address] <= 0:
            del self._of_address[address]

    def start_waiting(self) -> bool:
        """Count a connection that has to wait; return False if too many wait already."""
        has_room = self._busy < MAX_BUSY
        self._busy += has_room
        return has_room

    def stop_waiting(self) -> None:
        """Count one waiting connection less."""
        self._busy -= 1


class Arrival(asyncio.Protocol):
    """A connection that begins to send. Then aiohttp's protocol takes its place."""

    __slots__ = ("_arrivals", "_is_busy", "address", "transport")

    def __init__(self, arrivals: Arrivals, address: str) -> None:
        self._arrivals = arrivals
        self._is_busy = False
        self.address = address
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first byte, which has come unless it is one of the handshake of TLS."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has another base
        self._arrivals.newcomers.add(self)

    def data_received(self, data: bytes) -> None:
        """Hand the connection on, or make it wait if its kind was refused too often lately."""
        transport = self.transport
        assert transport is not None  # noqa: S101 - it is connected
        if self._is_busy or transport.is_closing():
            return
        if not is_http(data):
            self._refuse(transport)
            return
        key = self._arrivals.refused.key(self.address, data)
        if self._arrivals.refused.is_over(key):
            self._be_busy(transport)
            return
        http = self._arrivals.serve()
        self._arrivals.newcomers.on_first_byte(self, http)
        _hand_over(http, transport, self._arrivals, self.address, key)
        http.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection no more."""
        self._arrivals.newcomers.on_first_byte(self, None)
        self._arrivals.on_closed(self.address)
        if self._is_busy:
            self._arrivals.stop_waiting()

    def abort(self, reason: str) -> None:
        """Close the connection at once."""
        metrics.TURNED_AWAY.labels(reason).inc()
        self._arrivals.newcomers.on_first_byte(self, None)
        if self.transport is not None:
            self.transport.abort()

    def _refuse(self, transport: asyncio.Transport) -> None:
        """Answer bytes that are not HTTP; after too many of them, close without an answer."""
        self._arrivals.newcomers.on_first_byte(self, None)
        metrics.REFUSED.labels(not_http.ERROR.code).inc()
        if self._arrivals.refused.note(Key(self.address, b"", has_credentials=False)):
            self.abort("not_http")
            return
        limited.warning(
            "request_refused",
            by=self.address,
            reason=not_http.ERROR.code,
            detail=not_http.ERROR.message,
        )
        transport.write(not_http.ANSWER)
        transport.close()

    def _be_busy(self, transport: asyncio.Transport) -> None:
        if not self._arrivals.start_waiting():
            self.abort("busy")
            return
        self._is_busy = True
        self._arrivals.newcomers.on_first_byte(self, None)
        metrics.TURNED_AWAY.labels("busy").inc()
        transport.pause_reading()
        asyncio.get_running_loop().call_later(BUSY_SECONDS, _answer_busy, transport)


def _answer_busy(transport: asyncio.Transport) -> None:
    if not transport.is_closing():
        transport.write(BUSY)
        transport.close()


def _hand_over(
    http: HttpConnection, transport: asyncio.Transport, arrivals: Arrivals, address: str, key: Key
) -> None:
    """Put aiohttp's protocol in an arrival's place, with a way to report its end and refusals."""
    http.on_closed = partial(arrivals.on_closed, address)
    http.on_refused = partial(arrivals.refused.note, key)
    http.on_wasted = partial(arrivals.wasted.note, Key(address, b"", has_credentials=False))
    transport.set_protocol(http)
    http.connection_made(transport)
