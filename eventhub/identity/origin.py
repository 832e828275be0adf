"""Origin: which web pages may use an endpoint.

A browser sends cookies with every request that a page makes, and WebSockets have no same-origin
policy, so the hub itself must refuse pages of other sites (RFC 6455 section 10.2). It compares the
`Origin` header, which no page can forge, with the host that the request was sent to. Programs that
are not browsers send no `Origin`. They are let in, because they could send any.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, Self

from aiohttp import web

from eventhub.errors import Misconfigured, Rejected
from eventhub.event import POSITION_HEADER
from eventhub.identity.proxies import NO_PROXIES, Proxies, forwarded

_ANYBODY = ("*", "null", "file://")
"""Origins that are not of one page: cookies are never allowed for them. Files are `null` in
browsers, and `file://` in some app shells."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_AUTHORITY = r"(?P<host>\[[0-9a-f:.]+\]|(?:\*\.)?[^\s/?#@:*\[\]]+)(?::(?P<port>[0-9]{1,5}))?"
_HOST = re.compile(_AUTHORITY)
_ORIGIN = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.-]*)://{_AUTHORITY}")
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
    # The last line: what EventSource and fetch libraries add by themselves.
    "Access-Control-Allow-Headers": (
        "content-type, content-encoding, authorization, idempotency-key, last-event-id,"
        " if-match, if-none-match, if-modified-since, if-range, range,"
        " cache-control, pragma, x-requested-with"
    ),
    "Access-Control-Max-Age": "600",  # seconds for which a browser still believes a removed origin
}
_EXPOSED = {
    "Access-Control-Expose-Headers": (
        f"{POSITION_HEADER}, ETag, Retry-After, Accept-Ranges, Content-Range"
    )
}


class Origin(NamedTuple):
    """Scheme, host and port of a page (RFC 6454 section 4), in lower case."""

    scheme: str
    host: str
    port: int | None
    """None for a scheme without a default port, such as that of browser extensions."""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse `https://host:port`; return None for anything else, such as `null`."""
        found = _ORIGIN.fullmatch(text.lower())
        if found is None:
            return None
        scheme = found["scheme"]
        port = int(found["port"]) if found["port"] else _DEFAULT_PORTS.get(scheme)
        return cls(scheme, found["host"], port)

    def is_host(self, header: str, scheme: str | None = None) -> bool:
        """Return whether a `Host` header names this host and port, and the scheme is the same.

        A scheme of None is not compared: behind an unknown proxy that ends TLS it is not known.
        """
        found = _HOST.fullmatch(header.lower())
        if found is None or self.scheme not in _DEFAULT_PORTS:
            return False
        if scheme is not None and self.scheme != scheme:
            return False
        port = int(found["port"]) if found["port"] else _DEFAULT_PORTS[self.scheme]
        return (self.host, self.port) == (found["host"], port)

    def covers(self, other: Self) -> bool:
        """Return whether `other` is this origin, or a subdomain of one that begins with `*.`."""
        if (self.scheme, self.port) != (other.scheme, other.port):
            return False
        if self.host.startswith("*."):
            return other.host.endswith(self.host[1:])
        return self.host == other.host


def check_origins(origins: Sequence[str], where: str) -> None:
    """Check the `origins:` of an endpoint when the hub starts.

    Raises:
        Misconfigured: an entry could never match.
    """
    for text in origins:
        if text in _ANYBODY:
            continue
        origin = Origin.parse(text)
        if origin is None or "" in origin.host.removesuffix(".").split("."):
            raise Misconfigured(
                f"{where}: origins: expected https://host, https://host:port, https://*.host or *,"
                f" got {text!r}"
            )


def check_origin(
    request: web.Request, origins: Sequence[str], proxies: Proxies = NO_PROXIES
) -> None:
    """Check that a request is from the hub's own page, one that `origins` names, or no browser.

    Raises:
        Rejected: `forbidden`: it is from a page of another origin.
    """
    sent = request.headers.getall("Origin", [])
    if not sent:
        _check_embedding(request, origins)
        return
    if len(sent) == 1 and _is_own(sent[0], request, proxies):
        return
    if len(sent) > 1 or not _is_named(sent[0], origins):
        text = "this page is of another origin, and no `origins:` of an endpoint names it here"
        raise Rejected("forbidden", text)


def _check_embedding(request: web.Request, origins: Sequence[str]) -> None:
    """Refuse rows to a page of another site that embeds them as an image or a script.

    The browser sends no `Origin` then, but states where the request comes from (Fetch Metadata). A
    followed link is let in, because no page can read what another tab shows.
    """
    if not is_embedding(request) or _is_named(_referring(request), origins):
        return
    raise Rejected("forbidden", "`origins:` of this endpoint does not name the page that embeds it")


def is_embedding(request: web.Request) -> bool:
    """Return whether a page of another site makes the request, and stays open for the answer."""
    if request.headers.get("Sec-Fetch-Site", "").lower() not in ("cross-site", "same-site"):
        return False
    mode, dest = (request.headers.get(f"Sec-Fetch-{k}", "").lower() for k in ("Mode", "Dest"))
    return not (request.method in ("GET", "HEAD") and mode == "navigate" and dest == "document")


def _referring(request: web.Request) -> str:
    """Return the origin of the page in `Referer`; no page can forge that of another."""
    parts = request.headers.get("Referer", "").split("/", 3)
    return "/".join(parts[:3])


def cors_headers(
    request: web.Request, origins: Sequence[str], proxies: Proxies = NO_PROXIES
) -> dict[str, str]:
    """Return the headers that allow a named page to read the answer (Fetch standard, section 3.3).

    Cookies are allowed only for an origin that is named, because `*`, `null` and `file://` fit
    many pages.
    """
    sent = request.headers.get("Origin")
    headers = {"Vary": "Origin"} if origins else {}
    if sent is None and is_embedding(request) and _is_named(_referring(request), origins):
        return {**headers, "Cross-Origin-Resource-Policy": "cross-origin"}
    if sent is None or _is_own(sent, request, proxies) or not _is_named(sent, origins):
        return headers
    headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    if _is_named(sent, [text for text in origins if text not in _ANYBODY]):
        headers |= {
            "Access-Control-Allow-Origin": sent,
            "Access-Control-Allow-Credentials": "true",
        }
    else:
        headers["Access-Control-Allow-Origin"] = "*" if "*" in origins else sent
    return headers | (_PREFLIGHT if request.method == "OPTIONS" else _EXPOSED)


def _is_own(sent: str, request: web.Request, proxies: Proxies) -> bool:
    origin = Origin.parse(sent)
    if origin is None:
        return False
    named = forwarded(request, "X-Forwarded-Host", proxies)
    host = request.headers.get("Host", "") if named is None else named
    return origin.is_host(host, _scheme_of(request, proxies))


def _scheme_of(request: web.Request, proxies: Proxies) -> str | None:
    """Return the scheme that the browser used, if it is known."""
    scheme = forwarded(request, "X-Forwarded-Proto", proxies)
    if scheme is not None:
        return {"ws": "http", "wss": "https"}.get(scheme.lower(), scheme.lower())
    return "https" if request.secure else None


def _is_named(sent: str, origins: Sequence[str]) -> bool:
    if "*" in origins or (sent in _ANYBODY and sent in origins):
        return True
    origin = Origin.parse(sent)
    if origin is None or "*" in origin.host:
        return False
    named = (Origin.parse(text) for text in origins)
    return any(entry.covers(origin) for entry in named if entry is not None)
