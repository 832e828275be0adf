"""Admin: who may see the state of the hub: local programs, and requests with the token."""

import hmac
import ipaddress
from collections.abc import Callable
from typing import Final, NamedTuple

from aiohttp import HttpVersion11, web

from eventhub.config import Server
from eventhub.errors import Misconfigured, Rejected
from eventhub.identity.api_keys import ADMIN, API_KEYS, is_api_key
from eventhub.identity.hosts import is_loopback_name
from eventhub.identity.origin import check_origin

OPERATORS_ONLY: Final = (
    "send the request from the hub's own machine, with the token of server.admin, or with an API"
    " key that has the scope admin"
)
MIN_TOKEN: Final = 16
_FORWARDED: Final = ("Forwarded", "Via", "X-Real-IP", "X-Client-IP", "CF-Connecting-IP")


class Condition(NamedTuple):
    """How the hub is, a line for each thing."""

    problems: list[str]
    """Why it accepts no traffic; empty if it does."""
    notes: list[str]
    """What is worth knowing besides."""


Health = Callable[[], Condition]
"""Returns how the hub is now."""


class Admin:
    """Recognizes the requests of operators.

    Raises:
        Misconfigured: the token is too short.
    """

    def __init__(self, server: Server) -> None:
        token = server.admin.token if server.admin else None
        if token is not None and len(token) < MIN_TOKEN:
            raise Misconfigured(f"server: admin: token: give at least {MIN_TOKEN} characters")
        self._token = None if token is None else token.encode()

    def is_operator(self, request: web.Request) -> bool:
        """Return whether a request has the token or an API key for it, or is of this machine."""
        return self._has_token(request) or is_local(request)

    def _has_token(self, request: web.Request) -> bool:
        scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        sent = sent.strip()
        if is_api_key(sent):
            return API_KEYS in request.app and request.app[API_KEYS].has_scope(sent, ADMIN)
        if self._token is None:
            return False
        return hmac.compare_digest(sent.encode(errors="replace"), self._token)


def is_local(request: web.Request) -> bool:
    """Return whether a request comes from a program of this machine, on its own behalf.

    A proxy on this machine forwards requests of others: most add a header, and some use HTTP/1.0. A
    page whose name was pointed at 127.0.0.1 (DNS rebinding) sends its own name as `Host`. Pages of
    other sites, in a browser on this machine, could not read an answer, but cause the work for it.
    """
    if not _is_loopback_peer(request) or request.version < HttpVersion11:
        return False
    if any(_is_from_proxy(name) for name in request.headers):
        return False
    if not all(is_loopback_name(host) for host in request.headers.getall("Host", [])):
        return False
    try:
        check_origin(request, [])
    except Rejected:
        return False
    return True


def _is_from_proxy(header: str) -> bool:
    name = header.lower()
    return name.startswith("x-forwarded") or name in {known.lower() for known in _FORWARDED}


def _is_loopback_peer(request: web.Request) -> bool:
    peer = request.transport and request.transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return False
    address = ipaddress.ip_address(peer[0].partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return address.is_loopback
