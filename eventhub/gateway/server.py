"""Server: aiohttp's HTTP server, made to answer in our voice whatever happens.

It relies on `Server.__call__`, `RequestHandler.handle_error` and `log_exception`, and
`BaseRequest._version` of the pinned aiohttp; tests/e2e/test_requests.py notices if another version
has them not.
"""

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import HttpVersion10, HttpVersion11, web

from eventhub.errors import EventHubError, Rejected
from eventhub.gateway import refusal
from eventhub.gateway.guard import add_headers

logger = structlog.get_logger(__name__)

IDLE_SECONDS = 60.0
"""That a connection is kept after an answer."""
ALL_METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
"""What an endpoint can be asked."""
_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Runner(web.AppRunner):
    """Runs an application whose clients never see a page of the HTTP library.

    Bodies come to handlers as they were sent: what inflates them must have a limit (`body`).
    """

    def __init__(self, app: web.Application, *, shutdown_timeout: float) -> None:
        super().__init__(
            app,
            access_log=None,
            shutdown_timeout=shutdown_timeout,
            auto_decompress=False,
            keepalive_timeout=IDLE_SECONDS,
            max_line_size=refusal.MAX_LINE,
            max_field_size=refusal.MAX_HEADER,
            max_headers=refusal.MAX_HEADERS,
        )

    def visitor(self) -> "Visitor":
        """Return the protocol of a new connection."""
        assert isinstance(self.server, _Server)  # noqa: S101 - it is set up
        return self.server()

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server())


FREE_BODY_BYTES = 64 << 10
"""Of a body that costs little to refuse, unless it is compressed."""


def has_to_wait(request: web.BaseRequest, error: EventHubError) -> bool:
    """Take note of a refusal, and tell whether its answer has to wait: there were too many.

    Who comes with a new connection each time, and is not let in, waits at the door.
    """
    visitor = request.protocol
    if not isinstance(visitor, Visitor):
        return False
    if error.http_status in (401, 403):
        noted = visitor.on_refused is not None and visitor.on_refused()
        return noted and visitor._request_count > 1
    is_dear = request.content.total_bytes > FREE_BODY_BYTES or "Content-Encoding" in request.headers
    if error.http_status in (400, 413, 415) and is_dear:
        return visitor.on_wasted is not None and visitor.on_wasted()
    return False


class _Server(web.Server):
    """Makes a protocol of ours for each connection."""

    def __init__(self, made: web.Server) -> None:
        super().__init__(
            _speaking(made.request_handler), request_factory=made.request_factory, **made._kwargs
        )

    def __call__(self) -> "Visitor":
        return Visitor(self, loop=self._loop, **self._kwargs)


class Visitor(web.RequestHandler):
    """One connection."""

    on_gone: Callable[[], None] | None = None
    """Called once when the connection is closed, by who has its transport then."""
    on_refused: Callable[[], bool] | None = None
    """Called when somebody was not let in; tells whether this is too often."""
    on_wasted: Callable[[], bool] | None = None
    """Called when a body that took work was refused; tells whether this is too often."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell that it is gone."""
        super().connection_lost(exc)
        if (gone := self.let_go()) is not None:
            gone()

    def let_go(self) -> Callable[[], None] | None:
        """Return what to call when the connection is closed: the caller will."""
        gone, self.on_gone = self.on_gone, None
        return gone

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer bytes that are no HTTP request; the connection is closed afterwards."""
        if isinstance(exc, _CutError):
            raise exc
        if status < 500:
            error: EventHubError = refusal.of_bad_http(exc)
        else:
            logger.error("request_failed", exc_info=exc)
            error = EventHubError("internal error")
        refusal.count(error, request)
        if request.writer.output_size > 0:
            raise ConnectionResetError("an answer was begun")
        response = refusal.answer(error)
        add_headers(response.headers)  # nobody asks the application
        response.force_close()
        return response

    def log_exception(self, *args: object, **kw: object) -> None:
        """Log what went wrong after an answer; the client's mistakes are not worth a traceback."""
        error = kw.get("exc_info")
        if refusal.is_clients(error):
            logger.debug("connection_ended", reason=type(error).__name__)
        else:
            logger.error("connection_failed", exc_info=error)


class _CutError(ConnectionResetError):
    """An answer cannot be finished, and it is noted why: the connection is closed."""


def _speaking(handler: _Handler) -> _Handler:
    """Return a handler that answers what another raises."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            _check_version(request)
            response = await handler(request)
        except web.HTTPException as raised:
            response = _answer_to(raised, request)
        except ConnectionError:
            raise
        except Exception as raised:  # noqa: BLE001 - the client gets an error object, whatever it is
            if request.writer.output_size > 0:
                _failed(raised, request)  # logged and counted; the cut is all that can be told
                raise _CutError("the answer was begun") from None
            response = _failed(raised, request)
        if not (response.prepared or request.content.is_eof()):
            response.force_close()  # nobody reads what else there is of the body
        return response

    return handle


def _check_version(request: web.BaseRequest) -> None:
    """The parser lets other versions pass, and the answer would claim to be of the same."""
    if request._version not in (HttpVersion10, HttpVersion11):
        request._version = HttpVersion11
        raise Rejected("bad_request", "speak HTTP/1.1 or HTTP/1.0")


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
    """Return what OPTIONS of a page or file, or of the whole hub (`*`), is answered."""
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
    refusal.count(raised, request)
    return refusal.answer(raised)
