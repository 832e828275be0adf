"""Live: the WebSocket and the SSE stream of an endpoint, from admission to goodbye."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from aiohttp import HttpVersion11, web

from eventhub import metrics
from eventhub.errors import Close, EventHubError, Rejected
from eventhub.gateway import protocol
from eventhub.gateway.connection import SseConnection, WebSocketConnection
from eventhub.gateway.protocol import Form
from eventhub.gateway.route import Route, Visit
from eventhub.gateway.since import start_of
from eventhub.gateway.subscriber import Subscriber
from eventhub.ingest import parse_json
from eventhub.receipts import Receipt

log = structlog.get_logger()

CLOSE_SECONDS = 3.0
"""How long a client that is behind may take to hear that the hub leaves."""

AnyConnection = WebSocketConnection | SseConnection


class Live:
    """The open connections of a gateway."""

    def __init__(self) -> None:
        self._open: set[AnyConnection] = set()
        self._is_stopping = False

    async def stop(self) -> None:
        """Close every connection, all at once; their clients connect again.

        One that is being opened now is closed as soon as it is open.
        """
        self._is_stopping = True
        async with asyncio.TaskGroup() as group:
            for connection in tuple(self._open):
                group.create_task(_stop(connection))

    async def websocket(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Serve one WebSocket until it ends."""
        connection = WebSocketConnection(request, route.server)
        await connection.open()
        try:
            visit = await route.admit(request)
            subscriber = await self._subscribe(route, visit, connection, visit.control("_since"))
        except EventHubError as error:
            await connection.fail(error)
            return connection.response
        except Exception:  # after the handshake there is no HTTP answer to tell it in
            log.exception("request_failed", endpoint=route.endpoint.name)
            await connection.fail(EventHubError("internal error"))
            return connection.response
        with self._registered(route, connection, subscriber):
            if self._is_stopping:
                await _stop(connection)
            await connection.serve(lambda data: _receive(route, visit, connection, data))
        return connection.response

    async def sse(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Serve one stream of server-sent events until it ends."""
        if request.version < HttpVersion11:
            raise Rejected("bad_request", "server-sent events need HTTP/1.1")
        visit = await route.admit(request)
        headers = {**route.endpoint.config.headers, **route.cors(request)}
        connection = SseConnection(request, route.server, headers)
        since = request.headers.get("Last-Event-ID") or visit.control("_since")
        view = route.view(visit, Form.SSE)
        start = await start_of(since, view, route.stream, route.fanout, route.ingest.newest)
        await connection.open()
        subscriber = Subscriber(view, route.fanout, route.stream, connection)
        subscriber.start(start, route.snapshots)
        with self._registered(route, connection, subscriber):
            if self._is_stopping:
                await _stop(connection)
            await connection.serve()
        return connection.response

    async def _subscribe(
        self, route: Route, visit: Visit, connection: WebSocketConnection, since: str | None
    ) -> Subscriber:
        view = route.view(visit, connection.form)
        start = await start_of(since, view, route.stream, route.fanout, route.ingest.newest)
        subscriber = Subscriber(view, route.fanout, route.stream, connection)
        subscriber.start(start, route.snapshots)
        return subscriber

    @contextmanager
    def _registered(
        self, route: Route, connection: AnyConnection, subscriber: Subscriber
    ) -> Iterator[None]:
        gauge = metrics.CONNECTIONS.labels(route.endpoint.channel.name, connection.form.value)
        self._open.add(connection)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()
            self._open.discard(connection)
            subscriber.stop()


async def _stop(connection: AnyConnection) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.stop(Close.RESTART)
    except TimeoutError:  # it takes nothing, not even this
        log.info("close_cut_short")
        connection.abort()


async def _receive(
    route: Route, visit: Visit, connection: WebSocketConnection, data: bytes
) -> None:
    """Write the messages of one frame, in order; each is answered by itself."""
    try:
        messages = parse_json(data)
    except Rejected as error:
        metrics.REFUSED.labels(error.code).inc()
        connection.tell(protocol.refusal(error))
        return
    asked = iter(messages)
    async for outcome in route.write(messages, visit):
        _answer(connection, outcome, next(asked))
        await connection.drain()  # whoever does not read its answers does not go on


def _answer(
    connection: WebSocketConnection, outcome: Receipt | EventHubError, message: Any
) -> None:
    ref = message.get("_ref") if isinstance(message, dict) else None
    if isinstance(outcome, EventHubError):
        connection.tell(protocol.refusal(outcome, ref))
    elif connection.form is Form.V1:
        if ref is not None:
            connection.tell(protocol.ack(ref, outcome.as_dict()))
    elif outcome.duplicate:
        known = f"{outcome.id} is stored already, at {outcome.sequence}"
        connection.tell(protocol.refusal(Rejected("duplicate", known), ref))
