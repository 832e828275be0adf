"""Serving: `/openapi.json` and `/-/asyncapi.json`: what the client may use, and nothing else.

Names of columns are information. So an entry that does not admit a client is not described to it,
nor is a column that it may not read; one that it may not write is no part of its messages.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec
from aiohttp import web

from eventhub.config import Config, LogoutEndpoint, OidcEndpoint, SimpleAuthEndpoint
from eventhub.errors import Rejected
from eventhub.gateway import refusal, socket_route
from eventhub.gateway.admin import Admin
from eventhub.gateway.answering import HttpHandler, answered
from eventhub.gateway.compression import Compression
from eventhub.gateway.files import Files, after_files
from eventhub.gateway.openapi import asyncapi, messages, pages, queries
from eventhub.gateway.openapi.document import document_of, key_of
from eventhub.gateway.openapi.messages import Described
from eventhub.gateway.openapi.values import Json
from eventhub.gateway.route import Route
from eventhub.gateway.sql_route import SqlRoute
from eventhub.handler import Handler
from eventhub.identity.audit import audited
from eventhub.identity.authenticator import Authenticator
from eventhub.identity.session_cookie import cookie_of, keep_session
from eventhub.ingest.permission import ALL_COLUMNS, ColumnAccess

MAX_KEPT: Final = 100
"""Descriptions that are kept; clients that may use the same get the same."""
PATHS: Final = (pages.PATH, asyncapi.PATH)
"""Of the descriptions of HTTP, and of WebSockets."""
_NAME: Final = "openapi"
"""What log lines call it."""


class Description:
    """The description of one configuration."""

    def __init__(
        self,
        config: Config,
        routes: Sequence[Route | SqlRoute],
        authenticator: Authenticator,
        compression: Compression,
        *,
        has_copies: bool,
    ) -> None:
        self._config = config
        self._routes = routes
        self._authenticator = authenticator
        self._compression = compression
        self._has_copies = has_copies
        self._admin = Admin(config.server)
        self._taken = {entry.pattern for entry in config.endpoints}
        self._kept: OrderedDict[Hashable, tuple[bytes, str]] = OrderedDict()

    def handler(self, path: str) -> HttpHandler:
        """Return the handler of one of `PATHS`."""
        return answered(_NAME, partial(self._get, path), refusal.refuse)

    async def _get(self, path: str, request: web.Request) -> web.StreamResponse:
        with audited(request, _NAME, self._authenticator.proxies):
            client = await self._authenticator.handler_of(request, {}, {})
        if any(_may_read_session(route) for route in self._routes):
            keep_session(request)
        usable = [
            (route, _access(route, client))
            for route in self._routes
            if await may_use(route, client)
        ]
        is_operator, cookie = self._admin.is_operator(request), cookie_of(request)
        names = tuple((_name_of(route), access.hidden, access.closed) for route, access in usable)
        key = (path, names, is_operator, cookie)
        if key not in self._kept:
            if path == asyncapi.PATH:
                document = self._frames(usable, cookie)
            else:
                document = self._document(usable, cookie, is_operator=is_operator)
            body = msgspec.json.encode(document)
            self._kept[key] = (body, hashlib.sha256(body).hexdigest()[:32])
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        body, tag = self._kept[key]
        headers = {"Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
        if any(each.value in (tag, "*") for each in request.if_none_match or ()):
            return web.Response(status=304, headers={**headers, "ETag": f'"{tag}"'})
        headers |= {"ETag": f'"{tag}"', "Content-Type": "application/json; charset=utf-8"}
        return await self._compression.send_whole(request, body, headers)

    def _document(
        self,
        usable: Sequence[tuple[Route | SqlRoute, ColumnAccess]],
        cookie: str,
        *,
        is_operator: bool,
    ) -> Json:
        schemes = self._schemes(cookie)
        found = [pages.hub_fragment(is_operator=is_operator, has_copies=self._has_copies)]
        for number, (route, access) in enumerate(usable):
            if isinstance(route, SqlRoute):
                key, security = key_of(route.entry.name, number), _security(route, schemes)
                found.append(queries.fragment_of(key, route.entry, security, self._taken))
            else:
                found.append(messages.fragment_of(self._described(number, route, access, schemes)))
        for number, entry in enumerate(self._config.endpoints, len(usable)):
            if isinstance(entry, SimpleAuthEndpoint | LogoutEndpoint):
                found.append(pages.login_fragment(key_of(entry.name, number), entry))
            elif isinstance(entry, OidcEndpoint):
                found.append(pages.oidc_fragment(key_of(entry.name, number), entry))
        return document_of(found, schemes)

    def _frames(self, usable: Sequence[tuple[Route | SqlRoute, ColumnAccess]], cookie: str) -> Json:
        schemes = self._schemes(cookie)
        entries = [
            self._described(number, route, access, schemes)
            for number, (route, access) in enumerate(usable)
            if isinstance(route, Route)
        ]
        has_socket = socket_route.PATH not in self._taken
        return asyncapi.document_of(entries, schemes, socket_route.PATH if has_socket else "")

    def _described(
        self, number: int, route: Route, access: ColumnAccess, schemes: Mapping[str, Json]
    ) -> Described:
        columns = route.endpoint.channel.columns
        return Described(
            key=key_of(route.endpoint.name, number),
            endpoint=route.endpoint,
            columns=columns.without(access.hidden).all,
            writable=columns.without(access.closed).all,
            security=_security(route, schemes),
            taken=self._taken,
        )

    def _schemes(self, cookie: str) -> dict[str, Json]:
        schemes: dict[str, Json] = {"cookie": {"type": "apiKey", "in": "cookie", "name": cookie}}
        if self._authenticator.takes_tokens:
            schemes["bearer"] = {"type": "http", "scheme": "bearer"}
        return schemes


def add_route(
    app: web.Application, description: Description, config: Config, files: Mapping[str, Files]
) -> None:
    """Give an application the descriptions, unless an entry or a public file has their paths.

    Args:
        app: not yet started.
        description: of what it serves.
        config: the configuration.
        files: the static files, by pattern.
    """
    taken = {entry.pattern for entry in config.endpoints}
    for path in PATHS:
        if path not in taken:
            app.router.add_get(path, after_files(description.handler(path), path, files))


def _security(route: Route | SqlRoute, schemes: Mapping[str, Json]) -> list[Json]:
    """Return how a client proves who it is, any of which will do; an empty way is no way."""
    ways: list[Json] = [{name: []} for name in schemes]
    return ways if route.rule.needs_login else [{}, *ways]


def _name_of(route: Route | SqlRoute) -> str:
    return route.entry.name if isinstance(route, SqlRoute) else route.endpoint.name


def _may_read_session(route: Route | SqlRoute) -> bool:
    """Return whether an expression that decides on a client may read its session."""
    if isinstance(route, Route) and route.column_rules.may_read_session:
        return True
    return route.rule.may_read_session


def _access(route: Route | SqlRoute, client: Handler) -> ColumnAccess:
    """Return what a client may do with the columns of an endpoint."""
    if isinstance(route, SqlRoute):
        return ALL_COLUMNS
    return route.column_rules.access(replace(client, kwargs=route.endpoint.config.kwargs))


async def may_use(route: Route | SqlRoute, client: Handler) -> bool:
    """Return whether a client may use an endpoint; it is not logged if it may not."""
    entry = route.entry if isinstance(route, SqlRoute) else route.endpoint.config
    try:
        await route.rule.check(replace(client, kwargs=entry.kwargs))
    except Rejected:
        return False
    return True
