"""Download: the answer of a URL, from an address that was checked. Blocking: call in a thread.

The configuration names the host, as `attachment.py` ensures. The name is resolved once, the
addresses are checked, and only these are connected to; proxies of the environment are not used. A
redirect is followed only on the same host.
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
"""For one URL, from the connection to the last byte; an SMTP dialogue may take as long."""
MAX_REDIRECTS = 5

_TRY_LATER = frozenset((408, 425, 429))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_PORTS = {"http": 80, "https": 443}
_NAT64 = IPv6Address("64:ff9b::")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with status 200."""

    url: str
    headers: Message
    data: bytes


@dataclass(frozen=True, slots=True)
class _Target:
    """The parts of a URL."""

    url: str
    scheme: str
    host: str
    port: int
    path: str
    """With the query, percent-encoded."""

    @classmethod
    def of(cls, url: str) -> Self:
        """Parse a URL; raises `Rejected` if it is not one."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise Rejected("refused", f"{url!r} is not a URL: {error}") from error
        if CONTROL.search(url) or parts.scheme not in _PORTS or not host or "@" in parts.netloc:
            raise Rejected("refused", f"{url!r} is not an http or https URL with a host")
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
        """Tell whether another URL has the same origin, or is https instead of http on 443."""
        if self.host != other.host:
            return False
        return (self.scheme, self.port) == (other.scheme, other.port) or (
            (self.port, other.port) == (_PORTS["http"], _PORTS["https"])
            and (self.scheme, other.scheme) == ("http", "https")
        )


def download(url: str) -> Answer:
    """Return the answer of a URL, whose status is 200.

    Raises:
        Rejected: the status is another one, the URL redirects to another host, or the answer is
            too large.
        Unavailable: the URL may answer later.
    """
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    target = _Target.of(url)
    try:
        addresses = _resolve(target)
        for _ in range(MAX_REDIRECTS + 1):
            found = _request(target, addresses, deadline)
            if isinstance(found, Answer):
                return found
            if not target.is_same_host(found):
                redirect = f"{target.url} redirects to {found.url}"
                raise Rejected("refused", f"{redirect}: write that URL into the configuration")
            target = found
    except (OSError, HTTPException) as error:
        raise Unavailable(f"{url}: {error}") from error
    raise Rejected("refused", f"{url} redirects more than {MAX_REDIRECTS} times")


def _resolve(target: _Target) -> list[str]:
    """Return the addresses of a host, the only ones that may be connected to."""
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    if not _is_address_or_local(target.host):
        for address in addresses:
            if _is_of_this_machine(ip_address(address.partition("%")[0])):
                named = f"{target.host} is {address}, an address of this machine or its link"
                raise Rejected("refused", f"{named}: write the address itself to allow it")
    return addresses


def _is_address_or_local(host: str) -> bool:
    """Tell whether a host is an address or `localhost`, which no name server decides on."""
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return True


def _is_of_this_machine(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address belongs to this machine, or to its link, where clouds keep secrets.

    A name that resolves to one is a trap, or may become one: the owner of the name decides where
    it leads. Names of private networks are allowed, as the configuration names them.
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


def _connect(target: _Target, addresses: list[str], deadline: float) -> socket.socket:
    """Connect to the first address that answers."""
    failure = OSError("the host has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, target.port), _left(target, deadline))
        except OSError as error:
            failure = error
    raise failure


def _request(target: _Target, addresses: list[str], deadline: float) -> Answer | _Target:
    """Request a URL; return the answer, or the target of a redirect."""
    kind = HTTPSConnection if target.scheme == "https" else HTTPConnection
    connection = kind(target.host, target.port)
    with _connect(target, addresses, deadline) as plain:
        connection.sock = _wrap(plain, target)
        try:
            agent = {"User-Agent": "EventHub", "Accept-Encoding": "identity", "Connection": "close"}
            connection.request("GET", target.path, headers=agent)
            with connection.getresponse() as answer:
                return _read(target, answer, deadline)
        finally:
            connection.close()


def _wrap(plain: socket.socket, target: _Target) -> socket.socket:
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
    """Read block by block, because the timeout of a socket applies to each wait, not to all."""
    data = bytearray()
    while block := answer.read1(1 << 16):
        data += block
        if len(data) > MAX_BYTES:
            raise Rejected("too_large", f"{target.url} is larger than {MAX_BYTES >> 20} MiB")
        _left(target, deadline)
    return bytes(data)


def _left(target: _Target, deadline: float) -> float:
    """Return the seconds until the deadline; raises `Unavailable` if it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise Unavailable(f"{target.url} took longer than {DOWNLOAD_SECONDS:g} s")
    return left
