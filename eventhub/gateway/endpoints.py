"""Endpoints: which endpoint a connection to a path would open, for subscriptions that name one."""

from typing import Final

from aiohttp import web
from yarl import URL

from eventhub.errors import Rejected
from eventhub.gateway.answering import HttpHandler
from eventhub.gateway.route import Route

_NONE: Final = "no endpoint whose rows can be followed is at this path"


class Endpoints:
    """The endpoints of one application, by the handlers that it dispatches to."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._routes: dict[HttpHandler, Route] = {}

    def add(self, handler: HttpHandler, route: Route) -> None:
        """Add what a handler of the application serves: an endpoint, or its rows."""
        self._routes[handler] = route

    async def find(self, opened: web.Request, url: URL) -> tuple[Route, web.Request]:
        """Return an endpoint, and a request for it that is otherwise like another one.

        Args:
            opened: the request that opened a connection.
            url: path and query of the endpoint, as they are in a request.

        Raises:
            Rejected: `unknown_path`.
        """
        request = opened.clone(rel_url=url)
        match = await self._app.router.resolve(request)
        route = None if match.http_exception is not None else self._routes.get(match.handler)
        if route is None:
            raise Rejected("unknown_path", _NONE, column="path")
        match.add_app(self._app)
        match.freeze()
        request._match_info = match
        return route, request
