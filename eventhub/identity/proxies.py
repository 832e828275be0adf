"""Proxies: which reverse proxies are trusted, and what they say about a request."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from aiohttp import web

from eventhub.config import UNIX, Auth, networks_of, trusts_unix
from eventhub.errors import Misconfigured

MAX_TEXT: Final = 200
"""Characters of what a client sent; it must not decide how long a line of the log is."""
_CLIENT: Final = web.RequestKey("client", str)


class Proxies:
    """The reverse proxies whose headers are trusted, by the address of the peer."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        try:
            self._networks = networks_of(trusted)
            self._trusts_unix = trusts_unix(trusted)
        except ValueError as error:
            raise Misconfigured(f"auth: proxy: trusted: {error}") from None

    def sent(self, request: web.Request) -> bool:
        """Return whether the connection is from a trusted proxy."""
        if _CLIENT in request:
            return False
        if _is_by_unix_socket(request):
            return self._trusts_unix
        peer = request._transport_peername  # its transport may be a WebSocket's by now
        if not isinstance(peer, tuple):
            return False
        return self.trusts(peer[0])

    def trusts(self, text: str) -> bool:
        """Return whether an address belongs to a trusted proxy."""
        if text == UNIX:
            return self._trusts_unix
        address = ipaddress.ip_address(text.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        return any(address in network for network in self._networks)

    def by_tls(self, request: web.Request) -> bool:
        """Return whether the client sent a request by TLS, to the hub or to a trusted proxy."""
        values = request.headers.getall("X-Forwarded-Proto", [])
        if values and self.sent(request):
            return values[-1].rpartition(",")[2].strip().lower() in ("https", "wss")
        return request.secure


NO_PROXIES = Proxies()


def proxies_of(auth: Auth) -> Proxies:
    """Return the proxies that a configuration trusts."""
    return Proxies(auth.proxy.trusted) if auth.proxy else NO_PROXIES


def _is_by_unix_socket(request: web.BaseRequest) -> bool:
    return isinstance(request._transport_sockname, str)  # the path of the socket


def take_client(request: web.Request, address: str) -> None:
    """Take a request of a process of the hub itself as that of the client in whose name it asks."""
    request[_CLIENT] = address


def peer_of(request: web.BaseRequest) -> str:
    """Return the address of a connection's other end."""
    if _CLIENT in request:
        return str(request[_CLIENT])
    return UNIX if _is_by_unix_socket(request) else request.remote or "unknown"


def forwarded(request: web.Request, header: str, proxies: Proxies) -> str | None:
    """Return what a trusted proxy wrote into an `X-Forwarded-*` header; None without one."""
    sent = request.headers.getall(header, [])
    if not sent or not proxies.sent(request):
        return None
    # A proxy may append to what the client sent: only the last entry is certainly its own.
    return sent[-1].rpartition(",")[2].strip()


def client_of(request: web.Request, proxies: Proxies) -> str:
    """Return the address of a client: of its connection, or the last one from a trusted proxy."""
    values = request.headers.getall("X-Forwarded-For", [])
    if values and proxies.sent(request):
        return values[-1].rpartition(",")[2].strip()[:MAX_TEXT]
    return peer_of(request)


@lru_cache(4096)
def source_of(address: str) -> str:
    """Return what the limits of an address count: itself, or its network if it is of IPv6.

    A machine is usually given a whole /64 of IPv6 (RFC 6177), and can send from all of it.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a Unix socket, or what a proxy names otherwise
        return address
    if isinstance(parsed, ipaddress.IPv4Address) or parsed.is_link_local:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))


def source_of_client(request: web.Request, proxies: Proxies) -> str:
    """Return what the limits of the client of a request count, without a login."""
    return source_of(client_of(request, proxies))
