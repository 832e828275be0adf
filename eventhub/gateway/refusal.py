"""Refusal: how a request that is not served is answered, counted and logged.

Whatever a client gets wrong before its message is read (HTTP itself, the path, the method, the
body's encoding) is answered with the error object of a refused message, never with a page of the
HTTP library.
"""

from collections.abc import Mapping

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import (
    BadStatusLine,
    HttpProcessingError,
    InvalidHeader,
    InvalidURLError,
    LineTooLong,
    PayloadEncodingError,
)

from eventhub import metrics
from eventhub.errors import EventHubError, Rejected
from eventhub.identity.proxies import peer_of
from eventhub.logs import limited

MAX_LINE = 64 << 10
"""Bytes of a request's target: a filter that lists some thousand ids fits."""
MAX_HEADER = 16 << 10
"""Bytes of one header line: more than the 8 KiB that browsers and proxies allow for cookies."""
MAX_HEADERS = 128
_SHOWN = 200
"""Characters of an error's text in a log line."""
_NOT_LOGGED = frozenset(
    ("unauthorized", "forbidden", "not_found", "exists", "conflict", "unavailable", "internal")
)
"""Denied access is logged by `audit`, and a failure where it happened; the others are normal."""
CODINGS = "gzip, deflate"
"""Supported values of `Content-Encoding`."""


def answer(error: EventHubError, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the error object as an HTTP answer."""
    extra: dict[str, str] = {}
    if error.code == "bad_type":
        extra["Accept-Encoding"] = CODINGS  # RFC 9110 section 15.5.16
    elif error.code == "upgrade_required":
        extra |= {"Sec-WebSocket-Version": "13", "Upgrade": "websocket", "Connection": "Upgrade"}
    if error.retry_after is not None:
        extra["Retry-After"] = str(error.retry_after)
    return web.Response(
        body=encoded(error),
        status=error.http_status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {}), **extra},
    )


def encoded(error: EventHubError) -> bytes:
    """Return the error object as JSON.

    A message may quote bytes that are no UTF-8, which aiohttp hands over as lone surrogates.
    """
    fields = error.as_dict()
    for key, value in fields.items():
        if isinstance(value, str):
            fields[key] = value.encode(errors="backslashreplace").decode()
    return msgspec.json.encode({"_error": fields})


def of_exception(raised: web.HTTPException) -> EventHubError:
    """Return the error that replaces an answer of the HTTP library."""
    if raised.status >= 500:
        return EventHubError("internal error")
    if isinstance(raised, web.HTTPMethodNotAllowed):
        methods = ", ".join(sorted(raised.allowed_methods))
        return Rejected(
            "method_not_allowed", f"this path takes only {methods}: is it the right one?"
        )
    code, text = _OF_STATUS.get(raised.status, ("bad_request", "the request cannot be answered"))
    return Rejected(code, text)


_OF_STATUS = {
    404: ("unknown_path", "no endpoint, page or file is at this path"),
    413: ("too_large", "the body is too large"),
    417: ("bad_request", "Expect must be 100-continue"),
}


def of_bad_http(error: BaseException | None) -> Rejected:
    """Return the error for bytes that are not an HTTP request (RFC 9112)."""
    if isinstance(error, LineTooLong):
        if error.args[1] == MAX_LINE:
            return Rejected("url_too_long", f"the URL is longer than {MAX_LINE} bytes")
        return Rejected("headers_too_large", f"a header is longer than {MAX_HEADER} bytes")
    if isinstance(error, HttpProcessingError) and "Too many headers" in error.message:
        return Rejected("headers_too_large", f"a request has at most {MAX_HEADERS} headers")
    for kind, text in _BAD_HTTP.items():
        if isinstance(error, kind):
            return Rejected("bad_request", text)
    return Rejected("bad_request", "this is not an HTTP/1.1 request (RFC 9112)")


_BAD_HTTP: dict[type[BaseException], str] = {
    InvalidURLError: "the request's target is not a URL",
    InvalidHeader: "a header of the request is malformed",
    BadStatusLine: "the first line of the request is malformed, or its method is unknown",
    PayloadEncodingError: "the body's length or its chunks are malformed",
}


def is_clients(error: object) -> bool:
    """Return whether an error is about the bytes that a client sent."""
    return isinstance(
        error,
        HttpProcessingError | web.RequestPayloadError | web.PayloadAccessError | ConnectionError,
    )


def count(error: EventHubError, request: web.BaseRequest) -> None:
    """Count a request that was refused as a whole; the first few a minute are logged."""
    metrics.REFUSED.labels(error.code).inc()
    if error.code not in _NOT_LOGGED:
        limited.warning(
            "request_refused",
            by=peer_of(request),
            reason=error.code,
            detail=error.message[:_SHOWN],
            method=request.method,
            path=request.path[:_SHOWN],
        )


def refuse(error: EventHubError, request: web.BaseRequest) -> web.Response:
    """Count a request that is refused as a whole, and return its answer."""
    count(error, request)
    return answer(error)
