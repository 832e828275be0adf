"""Server: aiohttp's HTTP server, made to answer every failure with an error object of the hub.

It relies on `Server.__call__`, `RequestHandler.handle_error` and `log_exception`, and
`BaseRequest._version` of the pinned aiohttp; tests/e2e/test_requests.py fails if another version
lacks them.
"""

import logging
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import HttpVersion10, HttpVersion11, web

from eventhub.errors import EventHubError, Rejected
from eventhub.gateway import refusal
from eventhub.gateway.access_log import AccessLogger
from eventhub.gateway.body import expect
from eventhub.gateway.guard import add_headers

logger = structlog.get_logger(__name__)

IDLE_SECONDS = 60.0
"""How long a connection is kept open after an answer."""
ALL_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
"""The methods of an endpoint."""
FREE_BODY_BYTES = 64 << 10
"""Size up to which a body costs little to refuse, unless it is compressed."""
_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Runner(web.AppRunner):
    """Runs an application whose clients never see a page of the HTTP library.

    Bodies come to handlers as they were sent: `body` inflates them, with a limit. Another
    application can take the place of the first; connections stay open.
    """

    def __init__(self, app: web.Application, *, shutdown_timeout: float) -> None:
        super().__init__(
            app,
            access_log=logging.getLogger("eventhub.access"),
            access_log_class=AccessLogger,
            shutdown_timeout=shutdown_timeout,
            auto_decompress=False,
            keepalive_timeout=IDLE_SECONDS,
            max_line_size=refusal.MAX_LINE,
            max_field_size=refusal.MAX_HEADER,
            max_headers=refusal.MAX_HEADERS,
        )
        self._first = self._current = app

    def use(self, app: web.Application) -> None:
        """Answer requests with another application, from now on; it has no startup of its own."""
        app.freeze()
        self._current = app

    @property
    def is_waiting(self) -> bool:
        """No other application has taken the place of the first."""
        return self._current is self._first

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request with the application of the moment."""
        assert isinstance(request, web.Request)  # noqa: S101 - the first application makes it
        assert isinstance(request, web.Request)  # noqa: S101 - the first application made it
        return await self._current._handle(request)

    def connection(self) -> "HttpConnection":
        """Return the protocol of a new connection."""
        assert isinstance(self.server, _Server)  # noqa: S101 - the runner is set up
        return self.server()

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server(), self.answer)


def is_of_flight(request: web.BaseRequest) -> bool:
    """Return whether a request comes from the hub's own Flight process."""
    http = request.protocol
    return isinstance(http, HttpConnection) and http.is_of_flight


def has_to_wait(request: web.BaseRequest, error: EventHubError) -> bool:
    """Count a refusal, and return whether its answer has to wait because there were too many.

    A client that opens a new connection for each attempt waits before its next request instead.
    """
    http = request.protocol
    if not isinstance(http, HttpConnection):
        return False
    if error.http_status in (401, 403):
        is_too_often = http.on_refused is not None and http.on_refused()
        return is_too_often and http._request_count > 1
    is_dear = request.content.total_bytes > FREE_BODY_BYTES or "Content-Encoding" in request.headers
    if error.http_status in (400, 413, 415) and is_dear:
        return http.on_wasted is not None and http.on_wasted()
    return False


class _Server(web.Server):
    """Makes an `HttpConnection` for each connection."""

    def __init__(self, made: web.Server, answer: _Handler) -> None:
        super().__init__(_answering(answer), request_factory=made.request_factory, **made._kwargs)

    def __call__(self) -> "HttpConnection":
        return HttpConnection(self, loop=self._loop, **self._kwargs)


class HttpConnection(web.RequestHandler):
    """One connection, as long as it speaks HTTP."""

    is_of_flight = False
    """It is that of the hub's own Flight process, which sends its clients' addresses."""
    on_closed: Callable[[], None] | None = None
    """Called once when the connection is closed, by whoever has its transport then."""
    on_refused: Callable[[], bool] | None = None
    """Called when a client is not admitted; returns whether this happens too often."""
    on_wasted: Callable[[], bool] | None = None
    """Called when a body that took work is refused; returns whether this happens too often."""

    has_deadline = False
    """The kernel closes it if it takes nothing of an answer for too long."""

    @property
    def has_had_request(self) -> bool:
        """The head of its first request was received."""
        return self._request_count > 0

    def connection_lost(self, exc: BaseException | None) -> None:
        """Report the end, unless the transport was handed on."""
        super().connection_lost(exc)
        if (on_closed := self.hand_on()) is not None:
            on_closed()

    def hand_on(self) -> Callable[[], None] | None:
        """Return what must be called when the connection is closed: now it is the caller's duty."""
        on_closed, self.on_closed = self.on_closed, None
        return on_closed

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer bytes that are not an HTTP request; the connection is closed afterwards."""
        if isinstance(exc, _CutError):
            raise exc
        if status < 500:
            error: EventHubError = refusal.of_bad_http(exc)
        else:
            logger.error("request_failed", exc_info=exc)
            error = EventHubError("internal error")
        refusal.count(error, request)
        if self.on_refused is not None and self._request_count <= 1:
            self.on_refused()  # a client that repeats it has to wait
        if request.writer.output_size > 0:
            raise ConnectionResetError("an answer has begun")
        response = refusal.answer(error)
        add_headers(response.headers)  # the application is not asked
        response.force_close()
        return response

    def log_exception(self, *args: object, **kw: object) -> None:
        """Log a failure after an answer; a client's mistake is not worth a traceback."""
        error = kw.get("exc_info")
        if refusal.is_clients(error):
            logger.debug("connection_ended", reason=type(error).__name__)
        else:
            logger.error("connection_failed", exc_info=error)


class _CutError(ConnectionResetError):
    """An answer cannot be finished, and the reason is logged: the connection is closed."""


def _answering(handler: _Handler) -> _Handler:
    """Return a handler that answers whatever another one raises."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            _check_version(request)
            await expect(request)  # the library's own check cannot quote what is no UTF-8
            response = await handler(request)
        except web.HTTPException as raised:
            response = _answer_to(raised, request)
        except ConnectionError:
            raise
        except Exception as raised:  # noqa: BLE001 - the client gets an error object in any case
            if request.writer.output_size > 0:
                _failed(raised, request)  # logged and counted; all that is left is to cut it off
                raise _CutError("the answer has begun") from None
            response = _failed(raised, request)
        is_read = request.content.is_eof() and not _has_unclear_end(request)
        if not (response.prepared or is_read):
            response.force_close()  # the rest of the body is not read
        return response

    return handle


def _check_version(request: web.BaseRequest) -> None:
    """Refuse other versions: the parser lets them pass, and the answer would repeat them."""
    if request._version not in (HttpVersion10, HttpVersion11):
        request._version = HttpVersion11
        raise Rejected("bad_request", "use HTTP/1.1 or HTTP/1.0")
    if _has_unclear_end(request):
        raise Rejected("bad_request", "HTTP/1.0 has no Transfer-Encoding: use HTTP/1.1")


def _has_unclear_end(request: web.BaseRequest) -> bool:
    """Return whether a proxy may take the end of a request for the next one (RFC 9112 6.1)."""
    return request._version == HttpVersion10 and "Transfer-Encoding" in request.headers


def _answer_to(raised: web.HTTPException, request: web.BaseRequest) -> web.StreamResponse:
    if raised.status < 400:
        return raised
    if request.method == "OPTIONS" and (allowed := _allowed(raised, request)):
        return web.Response(status=204, headers={"Allow": allowed})
    error = refusal.of_exception(raised)
    if error.http_status >= 500:
        logger.error("request_failed", path=request.path, exc_info=raised)
    refusal.count(error, request)
    allow = {"Allow": raised.headers["Allow"]} if "Allow" in raised.headers else None
    return refusal.answer(error, allow)


def _allowed(raised: web.HTTPException, request: web.BaseRequest) -> str:
    """Return the methods of a page or file, or of the whole hub (`*`), for OPTIONS."""
    if isinstance(raised, web.HTTPMethodNotAllowed):
        return ", ".join(sorted({*raised.allowed_methods, "OPTIONS"}))
    return ALL_METHODS if request.path == "*" else ""


def _failed(raised: Exception, request: web.BaseRequest) -> web.Response:
    if not isinstance(raised, EventHubError):
        if refusal.is_clients(raised):
            raised = refusal.of_bad_http(raised)
        else:
            logger.error("request_failed", path=request.path, exc_info=raised)
            raised = EventHubError("internal error")
    return refusal.refuse(raised, request)
