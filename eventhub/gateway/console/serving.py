"""Serving: the console at `/-/`, its files at `/-/console/NAME`, and `/-/console/me`.

The console shows what the hub's other URLs answer to its user, and has no rights of its own. Its
files are built by `make`; a checkout without them says so.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from eventhub import __version__
from eventhub.config import Config
from eventhub.filters.arguments import parse_query_string
from eventhub.gateway import refusal
from eventhub.gateway.admin import Admin, is_local
from eventhub.gateway.answering import HttpHandler, answered
from eventhub.gateway.compression import Compression
from eventhub.gateway.console.views import Need, views_for
from eventhub.gateway.files import Files, after_files, content_type
from eventhub.gateway.openapi.serving import may_use
from eventhub.gateway.route import Route
from eventhub.gateway.sql_route import SqlRoute
from eventhub.gateway.static_answer import StaticAnswer
from eventhub.handler import Handler
from eventhub.identity.audit import audited
from eventhub.identity.authenticator import Authenticator
from eventhub.identity.hosts import is_loopback
from eventhub.identity.rule import Rule
from eventhub.identity.session_cookie import keep_session

PATH: Final = "/-/"
ME_PATH: Final = "/-/console/me"
FILES_PATH: Final = "/-/console/{file}"
FOLDER: Final = Path(__file__).parent / "static"
"""Where the build writes; not in a fresh checkout."""
NOT_BUILT: Final = (
    "The console is not built. Run `make .venv/console` in the checkout, and reload this page.\n"
)
HEADERS: Final = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Vary": "Accept-Encoding",
}
"""No other origin, no inline script or style, and no frame around it that could take a click."""
_FILE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*\.(?:js|css|svg)", re.ASCII)
_NAME: Final = "console"
"""What log lines call it."""


class Console:
    """The console of one configuration."""

    def __init__(
        self,
        rule: Rule | None,
        routes: Sequence[Route | SqlRoute],
        authenticator: Authenticator,
        admin: Admin,
        compression: Compression,
    ) -> None:
        """Get ready.

        Args:
            rule: who may open it; None: browsers on the hub's own machine.
            routes: the endpoints of the hub.
            authenticator: says who asks.
            admin: says who is an operator.
            compression: of its files.
        """
        self._rule = rule
        self._routes = routes
        self._authenticator = authenticator
        self._admin = admin
        self._compression = compression

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Answer with the page."""
        await self._admit(request)
        return self._file("index.html") or web.Response(text=NOT_BUILT, status=503)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Answer with a script or style of the page."""
        await self._admit(request)
        name = request.match_info["file"]
        answer = self._file(name) if _FILE.fullmatch(name) else None
        if answer is None:
            raise web.HTTPNotFound
        return answer

    async def me(self, request: web.Request) -> web.StreamResponse:
        """Answer with who asks, and which views that user may have."""
        client = await self._admit(request)
        has = [each async for each in self._needs(request, client)]
        user = client.current_user
        found: dict[str, Any] = {
            "user": None if user is None else user.id,
            "operator": "operator" in has,
            "views": views_for(has),
        }
        if "operator" in has:  # others need not know which vulnerabilities it may have
            found["version"] = __version__
        headers = {"Cache-Control": "no-store"}
        return web.json_response(body=msgspec.json.encode(found), headers=headers)

    async def _admit(self, request: web.Request) -> Handler:
        """Return who asks.

        Raises:
            Rejected: `unauthorized` or `forbidden`, by the rule of the console.
            HTTPNotFound: it has no rule, and the request comes from elsewhere.
        """
        if self._rule is None and not is_local(request):
            raise web.HTTPNotFound
        with audited(request, _NAME, self._authenticator.proxies):
            args = parse_query_string(request.rel_url.raw_query_string)
            if self._rule is not None and self._rule.may_read_session:
                keep_session(request)
            client = await self._authenticator.handler_of(request, args, {})
            if self._rule is not None:
                await self._rule.check(client)
        return client

    async def _needs(self, request: web.Request, client: Handler) -> AsyncIterator[Need]:
        if self._admin.is_operator(request):
            yield "operator"
        for route in self._routes:
            if await may_use(route, client):
                yield "sql" if isinstance(route, SqlRoute) else "rows"

    def _file(self, name: str) -> StaticAnswer | None:
        path = FOLDER / name
        if not path.is_file():
            return None
        headers = {**HEADERS, "Content-Type": content_type(name)}
        return StaticAnswer(path, headers, self._compression)


def add_routes(
    app: web.Application, console: Console, config: Config, files: Mapping[str, Files]
) -> None:
    """Give an application the console, unless it is off, or an entry or a public file has its path.

    It is off without `console:` in the file, unless the hub listens on loopback only.

    Args:
        app: not yet started.
        console: what is served.
        config: the configuration.
        files: the static files, by pattern.
    """
    if config.console is None and not is_loopback(config.server.host):
        return
    taken = {entry.pattern for entry in config.endpoints}
    handlers: dict[str, HttpHandler] = {
        PATH: console.page,
        ME_PATH: console.me,
        FILES_PATH: console.file,
    }
    for path, handler in handlers.items():
        if path not in taken:
            answering = answered(_NAME, handler, refusal.refuse)
            app.router.add_get(path, after_files(answering, path, files))
