"""App: the aiohttp application. It dispatches URLs, and answers whatever a request raises."""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from functools import partial

from aiohttp import web

from eventhub import metrics
from eventhub.config import Config
from eventhub.errors import EventHubError, Rejected
from eventhub.gateway import file_answer, refusal, row, row_files, rows, sql
from eventhub.gateway.admin import OPERATORS_ONLY, Admin, Health
from eventhub.gateway.answering import HttpHandler, answered
from eventhub.gateway.body import expect
from eventhub.gateway.connection import abandon_after
from eventhub.gateway.endpoints import Endpoints
from eventhub.gateway.file_answer import SUFFIXES
from eventhub.gateway.files import Files, after_files
from eventhub.gateway.guard import add_guard
from eventhub.gateway.handshake import wants_websocket
from eventhub.gateway.live import Live
from eventhub.gateway.openapi import table_schema
from eventhub.gateway.route import ROW_ID, Route
from eventhub.gateway.server import ALL_METHODS, HttpConnection
from eventhub.gateway.sql_route import SqlRoute
from eventhub.identity.proxies import proxies_of

STALLS = 2
"""Times `server.stalled_after` until the kernel closes a connection that takes nothing. A WebSocket
gets a close code after one."""


def add_routes(
    app: web.Application,
    config: Config,
    routes: Sequence[Route | SqlRoute],
    live: Live,
    health: Health,
    files: Mapping[str, Files],
) -> None:
    """Give an application the endpoints, the static files and the hub's own pages.

    Args:
        app: not yet started.
        config: the configuration.
        routes: its endpoints.
        live: their live connections.
        health: how the hub is.
        files: the static files, by pattern.
    """
    app.on_response_prepare.append(_deadline(STALLS * config.server.stalled_after))
    _add_state(app, config, health)
    live.endpoints = Endpoints(app)
    taken = {endpoint.pattern for endpoint in config.endpoints}
    for route in routes:
        if isinstance(route, SqlRoute):
            answers = {suffix: sql.handler_of_file(route, suffix) for suffix in SUFFIXES}
            pattern, handler = route.entry.pattern, sql.handler_of(route)
        else:
            answers = {suffix: _row_files(route, suffix) for suffix in SUFFIXES}
            pattern = route.endpoint.config.pattern
            handler = _guarded(route, partial(_dispatch, route, live))
            below = f"{pattern.removesuffix('/')}/"
            row_path = f"{below}{{{ROW_ID}:[^/]+}}"
            of_row = after_files(handler, below, files)
            app.router.add_route("*", row_path, of_row, expect_handler=expect)
            live.endpoints.add(of_row, route)
            live.endpoints.add(handler, route)
        app.router.add_route("*", pattern, handler, expect_handler=expect)
        _add_answers(app, pattern, answers, taken, files)
    for pattern, each in files.items():
        _add_files(app, each, pattern)


def state_app(config: Config, health: Health) -> web.Application:
    """Return the application of a process that serves nothing but its state."""
    app = web.Application()
    add_guard(app, config.server, proxies_of(config.auth), lambda _: False)
    _add_state(app, config, health)
    return app


def _add_state(app: web.Application, config: Config, health: Health) -> None:
    admin = Admin(config.server)
    app.router.add_get("/healthz", _alive)
    app.router.add_get("/readyz", _readiness(health, admin))
    app.router.add_get("/metrics", _metrics(health, admin))


def _add_answers(
    app: web.Application,
    pattern: str,
    answers: Mapping[str, HttpHandler],
    taken: Set[str],
    files: Mapping[str, Files],
) -> None:
    """Add the files of an endpoint's answers, unless another endpoint or a file has the path.

    Args:
        app: gets the routes.
        pattern: of the endpoint.
        answers: by suffix.
        taken: the patterns of all endpoints.
        files: by pattern.
    """
    for suffix, handler in answers.items():
        path = f"{pattern}.{suffix}"
        if path not in taken and not pattern.endswith("/"):
            handler = after_files(handler, path, files)
            app.router.add_route("*", path, handler, expect_handler=expect)


def _row_files(route: Route, suffix: str) -> HttpHandler:
    """Return the handler of the file of an endpoint's rows."""

    async def get(request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return file_answer.options(route.cors(request))
        if request.method not in file_answer.METHODS:
            raise web.HTTPMethodNotAllowed(request.method, file_answer.METHODS)
        return await row_files.get(route, suffix, request)

    return _guarded(route, get)


def _add_files(app: web.Application, files: Files, pattern: str) -> None:
    """Add a `FileHandler`; a pattern that ends in `/` serves everything below it."""
    handler = answered(files.name, files.get, refusal.refuse)
    app.router.add_get(pattern, handler)
    if pattern.endswith("/"):
        app.router.add_get(pattern + "{path:.+}", handler)


def _deadline(seconds: float) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Limit how long an answer that is not read may hold what it is made from."""

    async def on_prepare(request: web.Request, response: web.StreamResponse) -> None:
        http = request.protocol
        if isinstance(http, HttpConnection) and not http.has_deadline and request.transport:
            http.has_deadline = True
            abandon_after(request.transport, seconds)

    return on_prepare


async def _alive(request: web.Request) -> web.Response:
    return web.Response(text="alive\n")


def _readiness(health: Health, admin: Admin) -> HttpHandler:
    async def readyz(request: web.Request) -> web.Response:
        problems, notes = health()
        lines = problems or ["ready"]
        if admin.is_operator(request):
            lines = [*lines, *notes]
        elif problems:
            lines = ["not ready"]
        text = "".join(f"{line}\n" for line in lines)
        return web.Response(text=text, status=503 if problems else 200)

    return readyz


def _metrics(health: Health, admin: Admin) -> HttpHandler:
    async def exposition(request: web.Request) -> web.Response:
        if not admin.is_operator(request):
            return refusal.answer(Rejected("forbidden", OPERATORS_ONLY))
        problems, notes = health()
        metrics.PROBLEMS.set(len(problems))
        metrics.NOTES.set(len(notes))
        return web.Response(
            body=metrics.exposition(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    return exposition


def _guarded(route: Route, dispatch: HttpHandler) -> HttpHandler:
    def refuse(error: EventHubError, request: web.Request) -> web.StreamResponse:
        return rows.refused(error, route, request)

    return answered(route.endpoint.name, dispatch, refuse)


async def _dispatch(route: Route, live: Live, request: web.Request) -> web.StreamResponse:
    is_row = ROW_ID in request.match_info
    methods = row.METHODS if is_row else ALL_METHODS
    match request.method:
        case "OPTIONS":
            return web.Response(status=204, headers={"Allow": methods, **route.cors(request)})
        case "GET" if wants_websocket(request):
            return await live.websocket(route, request)
        case "GET" | "HEAD" if "text/event-stream" in request.headers.get("Accept", ""):
            return await live.sse(route, request)
        case "GET" | "HEAD" if table_schema.CONTROL in request.query and not is_row:
            return await table_schema.get(route, request)
        case "GET" | "HEAD" if is_row and "_since" not in request.query:
            return await row.get(route, request)
        case "GET" | "HEAD":
            return await rows.get(route, request, live.changes)
        case "PUT" | "PATCH" | "DELETE":
            return await rows.write(route, request)
        case "POST" if not is_row:
            return await rows.write(route, request)
        case _:
            raise web.HTTPMethodNotAllowed(request.method, methods.split(", "))
