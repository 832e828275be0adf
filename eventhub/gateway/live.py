"""Live: the WebSocket and the event stream of an endpoint, from admission to the end."""

import asyncio
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace

import structlog
from aiohttp import web
from yarl import URL

from eventhub import deadlines, metrics
from eventhub.delivery import frames as protocol
from eventhub.delivery.frames import Form
from eventhub.delivery.start import Arrival, arrival
from eventhub.delivery.subscriber import Subscriber
from eventhub.errors import Close, EventHubError, Unavailable
from eventhub.gateway.budget import Share
from eventhub.gateway.changes import Changes
from eventhub.gateway.connection_login import ConnectionLogin
from eventhub.gateway.dispatcher import EndpointDispatcher
from eventhub.gateway.endpoints import Endpoints
from eventhub.gateway.first_frames import FirstFrames
from eventhub.gateway.handshake import check_handshake, offers_login
from eventhub.gateway.inbox import Inbox
from eventhub.gateway.open_connection import OpenConnection
from eventhub.gateway.reading import reading
from eventhub.gateway.route import Route, Visit
from eventhub.gateway.server import has_to_wait
from eventhub.gateway.shared_socket import SharedSocket
from eventhub.gateway.sse import SseConnection
from eventhub.gateway.websocket import WebSocketConnection
from eventhub.identity.audit import audited
from eventhub.identity.proxies import client_of

Session = OpenConnection | SharedSocket

logger = structlog.get_logger(__name__)


class Live:
    """The open connections of a gateway."""

    def __init__(self) -> None:
        self._sessions: set[Session] = set()
        self._routes: dict[str, Route] = {}
        """The endpoints of today, by name."""
        self.endpoints = Endpoints(web.Application())
        """The endpoints of today, by path."""
        self._is_stopping = False
        self._first_frames = FirstFrames()
        self._logging_in: set[asyncio.Task[None]] = set()
        """Of the clients that have not logged in yet."""
        self.changes = Changes()
        """Polls, which wait for an answer as connections wait for frames."""

    async def stop(self) -> None:
        """Close every connection, all at once; their clients connect again.

        A connection that is being opened now is closed as soon as it is open.
        """
        self._is_stopping = True
        self.changes.stop()
        self._first_frames.stop()
        if self._logging_in:
            await asyncio.wait(self._logging_in, timeout=deadlines.CONNECTION_SECONDS)
        async with asyncio.TaskGroup() as group:
            for session in tuple(self._sessions):
                group.create_task(session.stop())

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The WebSockets and event streams that are open."""
        return tuple(self._sessions)

    def dismiss(self, sessions: Iterable[Session], code: Close) -> set[Session]:
        """Close connections; return those that were still open."""
        closed = {session for session in sessions if session in self._sessions}
        for session in closed:
            self._sessions.discard(session)
            _ = session.shared.tasks.spawn(session.dismiss(code))
        return closed

    def adopt(self, routes: Iterable[Route]) -> int:
        """Go on with the endpoints of another configuration.

        Connections whose endpoint is gone, or admits clients in another way, are closed, so that
        their clients connect again. Polls are answered with what there is.

        Returns:
            How many connections are closed.
        """
        self._routes = {route.endpoint.name: route for route in routes}
        self.changes.answer_all()
        return sum(not session.go_on(self._routes) for session in tuple(self._sessions))

    async def find(self, opened: web.Request, url: URL) -> tuple[Route, web.Request]:
        """Return the endpoint of today at a path: see `Endpoints.find`."""
        return await self.endpoints.find(opened, url)

    async def websocket(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Open a WebSocket; once it is open, aiohttp has no part in it."""
        check_handshake(request)
        try:
            login = await route.identify(request)
            if route.awaits_token(login) and offers_login(request):
                connection = await _shake_hands(route, request)
                task = route.shared.tasks.spawn(self._await_token(route, request, connection))
                self._logging_in.add(task)
                task.add_done_callback(self._logging_in.discard)
                return web.Response()  # goes nowhere
            visit = await route.admit(request, login=login)
            # Before the handshake: what is written once the client sees itself connected is live.
            arrived = await arrival(route.channel)
        except EventHubError as error:  # a refused client costs a handshake and an error, no more
            connection = await _shake_hands(route, request)
            _ = has_to_wait(request, error)  # then it waits when it connects again
            await connection.fail(error)
            return web.Response()  # goes nowhere
        connection = await _shake_hands(route, request)
        try:
            route.budget(request, visit).connect()
            session = await _session(route, request, visit, connection, arrived)
        except EventHubError as error:
            await connection.fail(error)
        except Exception:  # after the handshake no HTTP answer can say so
            logger.exception("request_failed", endpoint=route.endpoint.name)
            await connection.fail(EventHubError("internal error"))
        else:
            await self.begin(session)
            connection.start()
        return web.Response()  # goes nowhere

    async def _await_token(
        self, route: Route, request: web.Request, connection: WebSocketConnection
    ) -> None:
        """Open a WebSocket whose client logs in with its first frame."""
        try:
            session = await self._log_in(route, request, connection)
        except EventHubError as error:
            _ = has_to_wait(request, error)
            await _refuse(connection, error)
        except asyncio.CancelledError:
            connection.abort()
            raise
        except Exception:  # one client's failure must not end the others
            logger.exception("request_failed", endpoint=route.endpoint.name)
            await _refuse(connection, EventHubError("internal error"))
        else:
            await self.begin(session)
            connection.start()
            connection.wake()

    async def _log_in(
        self, route: Route, request: web.Request, connection: WebSocketConnection
    ) -> OpenConnection:
        name = route.endpoint.name
        with audited(request, name, route.shared.authenticator.proxies):
            frame = await self._first_frames.next(connection)
            if (newer := self._routes.get(name)) is None:
                raise Unavailable("the endpoint is no longer there")
            login = await newer.shared.authenticator.login_of_token(frame.token)
        # Before the answer: what is written once the client sees itself logged in is live.
        arrived = await arrival(newer.channel)
        visit = await newer.admit(request, login=login)
        newer.budget(request, visit).connect()
        answer = protocol.logged_in(login.expires_at, is_first=True)
        connection.send(answer if frame.ref is None else {**answer, "ref": frame.ref})
        if login.user is not None:
            connection.note_user(login.user.id)
        return await _session(newer, request, visit, connection, arrived)

    async def sse(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Open a stream of server-sent events."""
        since = request.headers.get("Last-Event-ID")
        visit = await route.admit(request, since=since, is_live=True)
        view, start = await reading(route, visit, Form.SSE)
        if not start.reason:  # it may have been cut before the first position
            start = replace(start, reason="start")
        if request.method == "HEAD":
            return web.Response(headers=route.cors(request), content_type="text/event-stream")
        budget = route.budget(request, visit)
        client = budget.client
        budget.connect()
        with ExitStack() as held:
            held.enter_context(_counted(route, Form.SSE))
            held.enter_context(budget.connection())
            held.enter_context(route.channel.hold(view, client))
            headers = {**route.endpoint.config.headers, **route.cors(request)}
            connection = await SseConnection.open(request, route.shared.server, headers)
            subscriber = Subscriber(view, route.channel, connection, client)
            subscriber.start(start)
            login = _login(route, request, visit, connection)
            session = OpenConnection(route, connection, subscriber, held.pop_all(), login)
        await self.begin(session)
        return web.Response()  # goes nowhere

    async def begin(self, session: Session) -> None:
        """Keep a connection that was just opened until it ends."""
        connection = session.connection

        def end() -> None:
            self._sessions.discard(session)
            session.release()

        if connection.is_lost:
            session.release()
            return
        self._sessions.add(session)
        connection.on_lost = end
        session.begin()
        if self._is_stopping:
            await session.stop()
        else:
            session.go_on(self._routes)  # the configuration may have changed while it was opened


def _counted(route: Route, form: Form) -> AbstractContextManager[object]:
    return metrics.CONNECTIONS.labels(route.channel.name, form.value).track_inprogress()


async def _shake_hands(route: Route, request: web.Request) -> WebSocketConnection:
    shared = route.shared
    return await WebSocketConnection.open(request, shared.server, shared.turns, shared.large)


async def _refuse(connection: WebSocketConnection, error: EventHubError) -> None:
    """Close a connection from which nothing was read but a first frame."""
    if connection.is_lost:
        return
    connection.discard()
    try:
        async with asyncio.timeout(deadlines.CONNECTION_SECONDS):
            await connection.fail(error)
    except TimeoutError:
        connection.abort()


async def _session(
    route: Route,
    request: web.Request,
    visit: Visit,
    connection: WebSocketConnection,
    arrived: Arrival,
) -> OpenConnection:
    """Start to send on a WebSocket, and get ready to read from it."""
    budget = route.budget(request, visit)
    client = budget.client
    view, start = await reading(route, visit, connection.form, arrived)
    with ExitStack() as held:
        held.enter_context(_counted(route, connection.form))
        held.enter_context(budget.connection())
        held.enter_context(route.channel.hold(view, client))
        subscriber = Subscriber(view, route.channel, connection, client)
        subscriber.start(start)
        login = _login(route, request, visit, connection)
        share = Share(budget, connection.wake)
        dispatcher = EndpointDispatcher(route, login, connection, share)
        inbox = Inbox(dispatcher, route.shared, connection, share)
        return OpenConnection(
            route, connection, subscriber, held.pop_all(), login, inbox, dispatcher
        )


def _login(
    route: Route,
    request: web.Request,
    visit: Visit,
    connection: WebSocketConnection | SseConnection,
) -> ConnectionLogin:
    address = client_of(request, route.shared.authenticator.proxies)
    return ConnectionLogin(visit, connection, address)
