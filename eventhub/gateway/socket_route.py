"""Socket route: `/-/socket`, where a client opens a WebSocket for any number of subscriptions.

A WebSocket at a path that nothing has is opened and closed with the reason: browsers show a refused
handshake as 1006, like a lost connection.
"""

from collections.abc import Mapping
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from eventhub.config import Config
from eventhub.delivery.frames import ARRAYS_SUBPROTOCOL, Form
from eventhub.errors import EventHubError, Rejected
from eventhub.filters.arguments import parse_query_string
from eventhub.gateway import refusal
from eventhub.gateway.answering import HttpHandler, answered
from eventhub.gateway.files import Files, after_files
from eventhub.gateway.handshake import check_handshake, wants_websocket
from eventhub.gateway.live import Live
from eventhub.gateway.route import Shared, Visit
from eventhub.gateway.server import has_to_wait
from eventhub.gateway.shared_socket import NAME, SharedSocket
from eventhub.gateway.websocket import WebSocketConnection
from eventhub.identity.audit import audited
from eventhub.identity.bearer import QUERY

PATH: Final = "/-/socket"

logger = structlog.get_logger(__name__)


def add_route(
    app: web.Application, live: Live, shared: Shared, config: Config, files: Mapping[str, Files]
) -> None:
    """Give an application the path, unless an entry or a public file has it; close at unknown ones.

    Args:
        app: not yet started.
        live: keeps the sockets.
        shared: limits of all clients.
        config: the configuration.
        files: the static files, by pattern.
    """
    app.middlewares.append(_closing_unknown(shared))
    if any(entry.pattern == PATH for entry in config.endpoints):
        return

    async def get(request: web.Request) -> web.StreamResponse:
        if not wants_websocket(request):
            text = f"this path is a WebSocket with the subprotocol {ARRAYS_SUBPROTOCOL}"
            raise Rejected("bad_request", text)
        return await _open(live, shared, request)

    handler = answered(NAME, get, refusal.refuse)
    app.router.add_get(PATH, after_files(handler, PATH, files))


def _closing_unknown(shared: Shared) -> Middleware:
    @web.middleware
    async def close_unknown(request: web.Request, handler: HttpHandler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPNotFound as raised:
            if not wants_websocket(request):
                raise
            error = refusal.of_exception(raised)
        check_handshake(request)
        refusal.count(error, request)
        connection = await WebSocketConnection.open(
            request, shared.server, shared.turns, shared.large
        )
        await connection.fail(error)
        return web.Response()  # goes nowhere

    return close_unknown


async def _open(live: Live, shared: Shared, request: web.Request) -> web.StreamResponse:
    check_handshake(request)
    visit, refused = None, None
    try:
        visit = await _visitor(shared, request)
    except EventHubError as error:
        refused = error
    connection = await WebSocketConnection.open(request, shared.server, shared.turns, shared.large)
    if refused is None and connection.form is not Form.V2:
        refused = Rejected("bad_request", f"offer the subprotocol {ARRAYS_SUBPROTOCOL}")
    if visit is None or refused is not None:
        refused = refused or EventHubError("internal error")
        _ = has_to_wait(request, refused)  # then it waits when it connects again
        await connection.fail(refused)
        return web.Response()  # goes nowhere
    await live.begin(SharedSocket(request, connection, visit, shared, live.find))
    connection.start()
    return web.Response()  # goes nowhere


async def _visitor(shared: Shared, request: web.Request) -> Visit:
    """Return who opens a socket. Pages of other sites are refused by the endpoints."""
    authenticator = shared.authenticator
    with audited(request, NAME, authenticator.proxies):
        args = parse_query_string(request.rel_url.raw_query_string)
        tokens = args.pop(QUERY, None)
        if args:
            text = "arguments belong in the frames that subscribe"
            raise Rejected("bad_filter", text, column=next(iter(args)))
        if tokens is not None:
            authenticator.take_query(request, tokens, is_live=True)
        return Visit(await authenticator.handler_of(request, {}, {}), {})
