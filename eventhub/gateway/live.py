"""Live: the WebSocket and the SSE stream of an endpoint, from admission to goodbye."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import HttpVersion11, web

from eventhub import metrics
from eventhub.delivery import frames as protocol
from eventhub.delivery.frames import Form
from eventhub.delivery.start import coming, start_of
from eventhub.delivery.subscriber import Subscriber
from eventhub.delivery.view import View
from eventhub.errors import Close, EventHubError, Expired, Rejected
from eventhub.gateway.changes import Changes
from eventhub.gateway.connection import SseConnection, WebSocketConnection
from eventhub.gateway.controls import Surface, check_honoured, checked_choice
from eventhub.gateway.handshake import check_handshake
from eventhub.gateway.inbox import Inbox
from eventhub.gateway.route import Route, Visit
from eventhub.gateway.server import has_to_wait
from eventhub.identity.expiry import Expiry

logger = structlog.get_logger(__name__)

CLOSE_SECONDS = 3.0
"""How long a client that is behind may take to hear that the hub leaves."""


@dataclass(slots=True, eq=False)
class _Session:
    """One open connection and what works for it."""

    connection: WebSocketConnection | SseConnection
    subscriber: Subscriber
    held: ExitStack
    """What counts it as a subscriber."""
    inbox: Inbox | None = None
    expiry: Expiry | None = None

    def watch(self, at: float, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        """End the connection with the login of its client.

        Args:
            at: Unix time.
            spawn: runs what takes time.
        """

        def end() -> None:
            spawn(self._expire())

        self.expiry = Expiry(at, self._warn, end)

    def _warn(self) -> None:
        if isinstance(self.connection, WebSocketConnection) and self.connection.form is Form.V1:
            self.connection.tell(protocol.expiring())

    async def _expire(self) -> None:
        """Tell the client nothing more, answer what it sent before, and close."""
        self.subscriber.stop()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                if self.inbox is not None:
                    await self.inbox.empty()
                await self.connection.fail(Expired())
        except TimeoutError:  # it takes nothing, not even this
            self.connection.abort()

    def forget(self) -> None:
        """Stop what works for the connection: it has ended."""
        self.subscriber.stop()
        self.held.close()
        if self.expiry is not None:
            self.expiry.cancel()

    async def stop(self) -> None:
        """Answer what was sent, and close; the client connects again."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                if self.inbox is not None:
                    await self.inbox.empty()
                await self.connection.close(Close.RESTART)
        except TimeoutError:  # it takes nothing, not even this
            logger.info("close_cut_short")
            self.connection.abort()


class Live:
    """The open connections of a gateway."""

    def __init__(self) -> None:
        self._open: set[_Session] = set()
        self._is_stopping = False
        self.changes = Changes()
        """Requests that wait for an answer, as connections wait for frames."""

    async def stop(self) -> None:
        """Close every connection, all at once; their clients connect again.

        One that is being opened now is closed as soon as it is open.
        """
        self._is_stopping = True
        self.changes.stop()
        async with asyncio.TaskGroup() as group:
            for session in tuple(self._open):
                group.create_task(session.stop())

    async def websocket(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Open a WebSocket; what becomes of it then is none of aiohttp's business."""
        check_handshake(request)
        connection = WebSocketConnection(route.shared.turns, route.shared.large)
        try:
            visit = await route.admit(request)
        except EventHubError as error:  # nothing is done for who is not let in but to tell him
            await connection.open(request, route.shared.server)
            _ = has_to_wait(request, error)  # then the door makes it wait
            await connection.fail(error)
            return web.Response()  # to nobody
        # Now: what is written once the client sees itself connected is live.
        came = await coming(route.channel)
        await connection.open(request, route.shared.server)
        client = route.client(request, visit)
        with ExitStack() as held:
            try:
                view = _view(route, visit, connection.form)
                since = visit.control("_since")
                start = await start_of(since, view, route.channel, came)
                subscriber = _subscriber(route, view, client, connection, held)
                subscriber.start(start)
            except EventHubError as error:
                await connection.fail(error)
            except Exception:  # after the handshake there is no HTTP answer to tell it in
                logger.exception("request_failed", endpoint=route.endpoint.name)
                await connection.fail(EventHubError("internal error"))
            else:
                inbox = _inbox(route, visit, connection)
                session = _Session(connection, subscriber, held.pop_all(), inbox)
                await self._begin(route, visit, session)
                connection.start()
        return web.Response()  # to nobody

    async def sse(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Open a stream of server-sent events."""
        if request.version < HttpVersion11:
            raise Rejected("bad_request", "server-sent events need HTTP/1.1")
        visit = await route.admit(request, since=request.headers.get("Last-Event-ID"))
        view = _view(route, visit, Form.SSE)
        start = await start_of(visit.control("_since"), view, route.channel)
        if request.method == "HEAD":
            return web.Response(headers=route.cors(request), content_type="text/event-stream")
        client = route.client(request, visit)
        with ExitStack() as held:
            held.enter_context(route.channel.live_filters.hold(view, client))
            connection = SseConnection()
            headers = {**route.endpoint.config.headers, **route.cors(request)}
            await connection.open(request, route.shared.server, headers)
            subscriber = Subscriber(view, route.channel, connection, client)
            subscriber.start(start)
            session = _Session(connection, subscriber, held.pop_all())
            await self._begin(route, visit, session)
        return web.Response()  # to nobody

    async def _begin(self, route: Route, visit: Visit, session: _Session) -> None:
        connection = session.connection
        gauge = metrics.CONNECTIONS.labels(route.endpoint.channel.name, connection.form.value)

        def forget() -> None:
            gauge.dec()
            self._open.discard(session)
            session.forget()

        if connection.is_lost:
            session.forget()
            return
        self._open.add(session)
        gauge.inc()
        connection.on_lost = forget
        if visit.expires_at is not None:
            session.watch(visit.expires_at, route.shared.tasks.spawn)
        if self._is_stopping:
            await session.stop()


def _subscriber(
    route: Route, view: View, client: str, connection: WebSocketConnection, held: ExitStack
) -> Subscriber:
    held.enter_context(route.channel.live_filters.hold(view, client))
    return Subscriber(view, route.channel, connection, client)


def _inbox(route: Route, visit: Visit, connection: WebSocketConnection) -> Inbox:
    inbox = Inbox(route, visit, connection)
    connection.on_text, connection.on_end = inbox.receive, inbox.end
    connection.on_turn = inbox.turn
    return inbox


def _view(route: Route, visit: Visit, form: Form) -> View:
    view = route.view(visit, form)
    check_honoured(visit.asked, Surface.LIVE)
    if "_format" in visit.asked:
        checked_choice("_format", visit.control("_format"), ("json",))
    return view
