"""Download: the answer of a URL, from the address that was checked. Blocking: call in a thread.

The configuration names the host (`attachment.py` sees to it). Its name is resolved once, what it
resolves to is checked, and that address is connected to; proxies of the environment are not used.
A redirect is followed only on the same host.
"""

import socket
import ssl
import time
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self
from urllib.parse import quote, urljoin, urlsplit

import idna

from eventhub.alerts.sources import MAX_BYTES
from eventhub.characters import CONTROL
from eventhub.errors import Rejected, Unavailable

DOWNLOAD_SECONDS = 20.0
"""For one URL, from the connection to the last byte: as long as an SMTP dialogue may take."""
MAX_REDIRECTS = 5

_TRY_LATER = frozenset((408, 425, 429))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_PORTS = {"http": 80, "https": 443}
_NAT64 = IPv6Address("64:ff9b::")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a URL answered with 200."""

    url: str
    headers: Message
    data: bytes


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a URL leads."""

    url: str
    scheme: str
    host: str
    port: int
    path: str
    """With the query, percent-encoded."""

    @classmethod
    def of(cls, url: str) -> Self:
        """Read a URL; raises `Rejected` if it is none."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise Rejected("refused", f"{url!r} is no URL: {error}") from error
        if CONTROL.search(url) or parts.scheme not in _PORTS or not host or "@" in parts.netloc:
            raise Rejected("refused", f"{url!r} is no http or https URL of a host")
        if not host.isascii():
            try:
                host = idna.encode(host, uts46=True, std3_rules=True).decode()
            except idna.IDNAError as error:
                raise Rejected("refused", f"{url!r}: {error}") from error
        path = parts.path or "/"
        query = f"?{parts.query}" if parts.query else ""
        quoted = quote(path + query, safe="/?%:@!$&'()*+,;=~[]-._")
        return cls(url, parts.scheme, host, port or _PORTS[parts.scheme], quoted)

    def is_same_host(self, other: "_Target") -> bool:
        """Tell whether another is of this origin, or of its secure form on the usual ports."""
        if self.host != other.host:
            return False
        return (self.scheme, self.port) == (other.scheme, other.port) or (
            (self.port, other.port) == (_PORTS["http"], _PORTS["https"])
            and (self.scheme, other.scheme) == ("http", "https")
        )


def download(url: str) -> Answer:
    """Return what a URL answers with 200.

    Raises:
        Rejected: it answers otherwise, leads elsewhere, or its answer is too large.
        Unavailable: it may answer later.
    """
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    target = _Target.of(url)
    try:
        addresses = _resolved(target)
        for _ in range(MAX_REDIRECTS + 1):
            found = _asked(target, addresses, deadline)
            if isinstance(found, Answer):
                return found
            if not target.is_same_host(found):
                leads = f"{target.url} leads to {found.url}"
                raise Rejected("refused", f"{leads}: name that address in the configuration")
            target = found
    except (OSError, HTTPException) as error:
        raise Unavailable(f"{url}: {error}") from error
    raise Rejected("refused", f"{url} leads on more than {MAX_REDIRECTS} times")


def _resolved(target: _Target) -> list[str]:
    """Return the addresses of a host, the only ones that are connected to."""
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    if not _is_address_or_local(target.host):
        for address in addresses:
            if _is_of_this_machine(ip_address(address.partition("%")[0])):
                named = f"{target.host} is {address}"
                raise Rejected("refused", f"{named}: write the address itself if it is meant")
    return addresses


def _is_address_or_local(host: str) -> bool:
    """Tell whether a host of the configuration can mean nothing but what it says."""
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return True


def _is_of_this_machine(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address is of this machine or of its link, where clouds keep credentials.

    A name that resolves to one is a trap, or will be: whoever owns the name decides where it leads.
    Names of private networks are as good as any that the configuration gives.
    """
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and int(address) >> 32 == int(_NAT64) >> 32:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_of_this_machine(inner)
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or address.is_reserved
    )


def _connected(target: _Target, addresses: list[str], deadline: float) -> socket.socket:
    """Connect to the first of some addresses that answers."""
    failure = OSError("it has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, target.port), _left(target, deadline))
        except OSError as error:
            failure = error
    raise failure


def _asked(target: _Target, addresses: list[str], deadline: float) -> Answer | _Target:
    """Ask a host for a path; return its answer, or where it leads."""
    kind = HTTPSConnection if target.scheme == "https" else HTTPConnection
    connection = kind(target.host, target.port)
    with _connected(target, addresses, deadline) as plain:
        connection.sock = _secured(plain, target)
        try:
            agent = {"User-Agent": "EventHub", "Accept-Encoding": "identity", "Connection": "close"}
            connection.request("GET", target.path, headers=agent)
            with connection.getresponse() as answer:
                return _read(target, answer, deadline)
        finally:
            connection.close()


def _secured(plain: socket.socket, target: _Target) -> socket.socket:
    if target.scheme == "http":
        return plain
    return ssl.create_default_context().wrap_socket(plain, server_hostname=target.host)


def _read(target: _Target, answer: HTTPResponse, deadline: float) -> Answer | _Target:
    status, location = answer.status, answer.headers["Location"]
    if status == HTTPStatus.OK:
        return Answer(target.url, answer.headers, _body(answer, target, deadline))
    if status in _REDIRECTS and location:
        return _Target.of(urljoin(target.url, str(location)))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TRY_LATER:
        raise Unavailable(f"{target.url} answered {status}")
    raise Rejected("not_found", f"{target.url} answered {status}")


def _body(answer: HTTPResponse, target: _Target, deadline: float) -> bytes:
    """Read block by block: the timeout of a socket bounds one wait, not all of them."""
    data = bytearray()
    while block := answer.read1(1 << 16):
        data += block
        if len(data) > MAX_BYTES:
            raise Rejected("too_large", f"{target.url} is larger than {MAX_BYTES >> 20} MiB")
        _left(target, deadline)
    return bytes(data)


def _left(target: _Target, deadline: float) -> float:
    """Return the seconds that are left."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise Unavailable(f"{target.url} took longer than {DOWNLOAD_SECONDS:g} s")
    return left
