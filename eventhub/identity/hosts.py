"""Hosts: which names this hub answers to.

A page can make its own domain resolve to 127.0.0.1 after it is loaded (DNS rebinding). Its browser,
and a comparison of `Origin` with `Host`, then take the hub for the page's own server. The name in
`Host` reveals the attack: a page can send no name but its own, and its name is not an address.

A hub on loopback without `server.hosts` may also serve a proxy on the same machine. It therefore
accepts a foreign name in requests that no browser can have sent to it directly:

- a browser omits the default port of a scheme, so a proxy wrote a name with `:80` or `:443`;
- a name without a dot belongs to the local network: no page of the internet has one;
- a page from HTTPS cannot reach a hub that speaks plain HTTP, so a proxy is between them;
- a browser sends `Origin` with each WebSocket, so a WebSocket without it is not a browser's.
"""

import ipaddress
import re
from functools import lru_cache
from typing import Final, NamedTuple, Self

from aiohttp import web

from eventhub.config import Server
from eventhub.errors import Misconfigured, Rejected
from eventhub.identity.proxies import NO_PROXIES, Proxies, forwarded

_HOST: Final = re.compile(
    r"(?P<name>\[[0-9a-fA-F:.%]+\]|[^\s/?#@:\[\]]+)(?::(?P<port>[0-9]{1,5}))?"
)
_PROBES: Final = ("/healthz", "/readyz", "/metrics")
"""Orchestrators call these by address. They check the name themselves before they reveal facts."""
REMEMBERED: Final = 64
"""Texts of `Host` headers of which a hub remembers whether they name it: each client repeats its
own in every request."""


class _Host(NamedTuple):
    name: str
    port: str | None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        found = _HOST.fullmatch(text.strip())
        if found is None:
            return None
        return cls(found["name"].strip("[]").lower().removesuffix("."), found["port"])

    def covers(self, other: Self) -> bool:
        """Return whether this entry of `server.hosts` covers a host."""
        if self.port not in (None, other.port):
            return False
        if self.name.startswith("*."):
            return other.name.endswith(self.name[1:])
        return self.name in ("*", other.name)


def is_loopback_name(text: str) -> bool:
    """Return whether a `Host` header names this machine: `localhost:8080`, `127.0.0.1`, `[::1]`."""
    host = _Host.parse(text)
    return host is not None and is_loopback(host.name)


def is_loopback(name: str) -> bool:
    """Return whether a name or an address, without a port, is one of this machine only."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class Hosts:
    """The names that one hub answers to.

    Raises:
        Misconfigured: an entry of `server.hosts` does not have the form of a host.
    """

    def __init__(self, server: Server, proxies: Proxies = NO_PROXIES) -> None:
        self._names = None if server.hosts is None else [_entry(text) for text in server.hosts]
        if self._names == []:
            raise Misconfigured("server: hosts: the list is empty: name a host, or leave it out")
        self._is_on_loopback = is_loopback(server.host)
        self._proxies = proxies
        self._is_ours = lru_cache(REMEMBERED)(self._is_our_name)

    def check(self, request: web.Request) -> None:
        """Check that a request was sent to a name of this hub.

        Raises:
            Rejected: `forbidden`: it was sent to another name.
        """
        if request.path in _PROBES:
            return
        named = forwarded(request, "X-Forwarded-Host", self._proxies)
        for text in request.headers.getall("Host", []):
            is_known = self._is_ours(text) or (named is not None and _is_inner(text))
            if not (is_known or (self._names is None and _is_by_proxy(request, text))):
                raise _refusal(text)
        if named is not None and self._names is not None and not self._is_ours(named):
            raise _refusal(named)

    def _is_our_name(self, text: str) -> bool:
        host = _Host.parse(text)
        if host is None:
            return False
        if self._names is not None:
            return any(entry.covers(host) for entry in self._names)
        return not self._is_on_loopback or is_loopback(host.name)


def _is_inner(text: str) -> bool:
    """Return whether a trusted proxy may use this name: an address, or a name without a domain."""
    host = _Host.parse(text)
    return host is not None and ("." not in host.name or _address(host.name) is not None)


def _is_by_proxy(request: web.Request, text: str) -> bool:
    """Return whether no browser can have sent a request with this name to the hub directly."""
    host = _Host.parse(text)
    if host is None:
        return False
    if host.port in ("80", "443") or ("." not in host.name and _address(host.name) is None):
        return True
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Upgrade", "").lower() == "websocket"
    return origin.lower().startswith("https://") and not _is_tls(request)


def _is_tls(request: web.Request) -> bool:
    return bool(request.transport and request.transport.get_extra_info("sslcontext"))


def _entry(text: str) -> _Host:
    entry = _Host.parse(text)
    if entry is None or "*" in entry.name[1:] or entry.name.startswith("."):
        raise Misconfigured(f"server: hosts: expected host, host:port, *.domain or *, got {text!r}")
    return entry


def _refusal(text: str) -> Rejected:
    shown = text[:100]
    return Rejected(
        "forbidden", f"this hub does not answer to the name {shown!r}: add it to `server.hosts`"
    )
