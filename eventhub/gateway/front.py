"""Front: the HTTP server of a process, from the first line of its start to its last answer.

Connections belong to the front, and what is served to an application, which can be exchanged: a
request is answered by the application of the moment it came. Before there is one, requests wait.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from eventhub import deadlines
from eventhub.background import background
from eventhub.config import Config
from eventhub.errors import Unavailable
from eventhub.gateway import refusal
from eventhub.gateway.arrivals import Arrivals, Spawn
from eventhub.gateway.guard import add_headers
from eventhub.gateway.server import HttpConnection, Runner
from eventhub.gateway.sockets import Sockets
from eventhub.gateway.tls import Certificate
from eventhub.identity.proxies import proxies_of
from eventhub.unix_socket import FLIGHT_SOCKET, bound

STARTING_SECONDS: Final = 10.0
"""How long a request waits for a hub that is starting."""
RETRY_SECONDS: Final = 5
"""After these a client that waited so long may ask again."""


class Front:
    """The HTTP server of a process."""

    def __init__(self, sockets: Sockets, config: Config, spawn: Spawn) -> None:
        self.url = sockets.url
        """What clients connect to."""
        self._sockets = sockets
        self._config = config
        self._spawn = spawn
        tls = config.server.tls
        self._certificate = None if tls is None else Certificate(tls)
        self._arrivals: Arrivals | None = None
        self._flight: asyncio.Server | None = None
        self._is_serving = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._wait)
        self._runner = Runner(app, shutdown_timeout=deadlines.REQUESTS_SECONDS)

    @classmethod
    @asynccontextmanager
    async def open(cls, sockets: Sockets, config: Config) -> AsyncIterator["Front"]:
        """Accept connections for the length of the block; their requests wait for `serve`."""
        async with background() as tasks:
            front = cls(sockets, config, tasks.spawn)
            await front._open()
            try:
                yield front
            finally:
                await front.close()

    async def _open(self) -> None:
        await self._runner.setup()
        self._arrivals = Arrivals(
            self._runner.connection,
            self._spawn,
            proxies_of(self._config.auth),
            self._config.server,
            self._certificate,
        )
        self._arrivals.open(self._sockets)

    async def accept_flight(self) -> None:
        """Accept connections of the hub's own Flight process, too."""

        def connection() -> HttpConnection:
            http = self._runner.connection()
            http.is_of_flight = True
            return http

        listening = bound(self._config.data, FLIGHT_SOCKET)
        loop = asyncio.get_running_loop()
        self._flight = await loop.create_unix_server(connection, sock=listening)

    def serve(self, app: web.Application, config: Config) -> None:
        """Answer requests with the application of a configuration, from now on."""
        if self._arrivals is not None:
            self._arrivals.limit(proxies_of(config.auth), config.server)
        self._runner.use(app)
        self._is_serving.set()

    def refuse(self) -> None:
        """Accept no more connections; those that are open stay. Idempotent."""
        if self._arrivals is not None:
            self._arrivals.close()
        if self._flight is not None:
            self._flight.close()
            (self._config.data / FLIGHT_SOCKET).unlink(missing_ok=True)

    async def close(self) -> None:
        """Accept no more, wait for the requests under way, and close all connections."""
        self.refuse()
        self._is_serving.set()
        await self._runner.cleanup()
        if self._arrivals is not None:
            self._arrivals.end()

    @property
    def wrong(self) -> list[str]:
        """What is wrong, for `/readyz`."""
        return [] if self._arrivals is None else self._arrivals.wrong

    async def _wait(self, request: web.Request) -> web.StreamResponse:
        """Answer a request that comes before there is an application."""
        if request.path == "/healthz":
            return _plain("alive\n", 200)
        if request.path == "/readyz":
            return _plain("not ready\n", 503)
        try:
            async with asyncio.timeout(STARTING_SECONDS):
                await self._is_serving.wait()
        except TimeoutError:
            return _busy(request)
        if self._runner.is_waiting:  # the hub stops before it has started
            return _busy(request)
        return await self._runner.answer(request)


def _busy(request: web.Request) -> web.Response:
    """Return the answer of a hub that is starting; an EventSource gives up after any answer."""
    if "text/event-stream" in request.headers.get("Accept", "") and request.transport is not None:
        request.transport.abort()
        return web.Response()  # goes nowhere
    error = Unavailable("the hub is starting: try again", retry_after=RETRY_SECONDS)
    response = refusal.answer(error)
    add_headers(response.headers)
    return response


def _plain(text: str, status: int) -> web.Response:
    response = web.Response(text=text, status=status)
    add_headers(response.headers)
    return response
