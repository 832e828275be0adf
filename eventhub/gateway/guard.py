"""Guard: the check before every request, and the headers of every answer."""

from collections.abc import Callable, MutableMapping
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler as HttpHandler
from multidict import CIMultiDict

from eventhub.config import Server
from eventhub.errors import EventHubError, Rejected
from eventhub.gateway import refusal
from eventhub.gateway.access_log import note_client
from eventhub.gateway.conditional import check_single
from eventhub.identity.audit import note_refusal
from eventhub.identity.hosts import Hosts, is_loopback_name
from eventhub.identity.proxies import Proxies, take_client

SERVER = "EventHub"
"""Without a version, which would reveal known vulnerabilities."""
OWN_FRAMES = "frame-ancestors 'self'"
"""Other sites may not show a page in a frame, where a user could be tricked into clicking."""
_DEFAULTS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # filters in URLs are private
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",
}


def add_guard(
    app: web.Application,
    server: Server,
    proxies: Proxies,
    is_of_flight: Callable[[web.Request], bool],
) -> None:
    """Make an application refuse other host names and repeated headers, and add security headers.

    A request of the hub's own Flight process is one of the client whose address it sends.

    Raises:
        Misconfigured: `server.hosts` is invalid.
    """
    hosts = Hosts(server, proxies)

    @web.middleware
    async def guard(request: web.Request, handler: HttpHandler) -> web.StreamResponse:
        if is_of_flight(request):
            take_client(request, request.headers["X-Forwarded-For"])
            note_client(request, proxies)
            return await handler(request)
        note_client(request, proxies)
        try:
            hosts.check(request)
        except Rejected as error:
            note_refusal(request, error, request.path, proxies)
            return refusal.answer(error)
        check_single(request)
        return await handler(request)

    app.middlewares.insert(0, guard)
    hsts = "" if server.tls is None or server.tls.hsts == 0 else f"max-age={server.tls.hsts}"

    async def prepared(request: web.Request, response: web.StreamResponse) -> None:
        add_headers(response.headers)
        # For loopback it would apply to every other program on the machine, too.
        if hsts and request.secure and not is_loopback_name(request.host):
            response.headers.setdefault("Strict-Transport-Security", hsts)

    app.on_response_prepare.append(prepared)


def add_headers(headers: MutableMapping[str, str]) -> None:
    """Add the headers that an answer does not have itself."""
    headers["Server"] = SERVER
    for name, value in _DEFAULTS.items():
        headers.setdefault(name, value)
    policy = headers.get("Content-Security-Policy", "")
    if "frame-ancestors" in policy and policy != OWN_FRAMES:
        del headers["X-Frame-Options"]  # it is older, and cannot list other sites


def closing_answer(error: EventHubError) -> bytes:
    """Return the whole answer to a connection that is closed before a request is read from it."""
    body, status = refusal.encoded(error), HTTPStatus(error.http_status)
    headers = CIMultiDict(refusal.answer(error).headers)
    add_headers(headers)
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{lines}\r\n".encode() + body
