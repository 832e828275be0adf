"""Auth: who is connecting, and whether the endpoint lets them.

A user is named by the first of: a bearer token, a trusted proxy's header, the session cookie. A
token that is not valid is refused and never falls back to another source. An endpoint's `auth:`
is compiled at start, and what it says that is not understood stops the hub: a rule that was
skipped would be an open door.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from aiohttp import web

from eventhub.config import Auth, MessageEndpoint, Proxy
from eventhub.errors import EventHubError, Misconfigured, Rejected
from eventhub.expressions import OPEN_NAMES, Expression, compile_expression
from eventhub.hooks import HOOK_SECONDS, Handler, RequestInfo, User
from eventhub.identity.bearer import Tokens, hide_token, token_of
from eventhub.identity.origin import NO_PROXIES, Proxies
from eventhub.identity.sessions import end_of, logged_in, session_of, setup_sessions
from eventhub.logs import limited

logger = structlog.get_logger(__name__)

MAX_USER_ID = 200  # characters, as of a row's id
Membership = Mapping[str, tuple[Any, ...]]
"""Attribute of the user → the values that will do."""


class Login(NamedTuple):
    """Who a request is from."""

    user: User | None
    expires_at: float | None
    """Unix time at which that ends; None if nothing says so."""


def setup_auth(app: web.Application, auth: Auth, folder: Path) -> "Authenticator":
    """Give an application sessions and bearer tokens; what is returned tells users apart.

    Raises:
        Misconfigured: `auth:` contradicts itself, or the session key in `folder` cannot be had.
    """
    authenticator = Authenticator(auth)
    setup_sessions(app, auth.session, folder, authenticator.proxies)
    app.middlewares.append(hide_token)
    return authenticator


class Authenticator:
    """Tells who sent a request."""

    def __init__(self, auth: Auth) -> None:
        self._tokens = Tokens(auth.jwt) if auth.jwt else None
        self._user_claim = auth.jwt.user_claim if auth.jwt else ""
        self._proxy = auth.proxy
        self._session = auth.session
        self.proxies = Proxies(auth.proxy.trusted) if auth.proxy else NO_PROXIES
        """Whose `X-Forwarded-Host` is believed when origins are compared."""
        self._has_warned = False

    async def login_of(self, request: web.Request) -> Login:
        """Return the user, and until when; None if nobody is logged in.

        Raises:
            Rejected: `unauthorized`: there is a bearer token or a proxy's header, and it is bad.
            Unavailable: the keys of the tokens' issuer cannot be had now.
        """
        if self._tokens and (token := token_of(request)) is not None:
            claims = await self._tokens.claims(token)
            user = _user(claims, claims.get(self._user_claim), f"claim {self._user_claim}")
            return Login(user, self._tokens.end_of(claims))
        if self._proxy and (name := self._proxy_user(request, self._proxy)):
            return Login(_user({}, name, self._proxy.header), None)
        attributes = logged_in(session_of(request))
        if attributes is None:
            return Login(None, None)
        user = _user(attributes, attributes.get("id"), "session")
        return Login(user, end_of(session_of(request), self._session))

    async def handler_of(
        self, request: web.Request, args: dict[str, list[str]], kwargs: Mapping[str, Any]
    ) -> Handler:
        """Return what expressions see of a request.

        Raises:
            Rejected: as `login_of`.
            Unavailable: as `login_of`.
        """
        login = await self.login_of(request)
        return Handler(
            current_user=login.user,
            expires_at=login.expires_at,
            session=dict(session_of(request)),
            args=args,
            request=RequestInfo(headers=request.headers, remote=request.remote, path=request.path),
            kwargs=kwargs,
        )

    def _proxy_user(self, request: web.Request, proxy: Proxy) -> str | None:
        names = [value.strip() for value in request.headers.getall(proxy.header, [])]
        if names and not self.proxies.sent(request):
            self._warn(request, proxy.header)
            return None
        if len(names) > 1:  # a proxy that adds its header lets the client's stand before it
            raise Rejected("unauthorized", f"{proxy.header} was sent more than once")
        return names[0] if names else None

    def _warn(self, request: web.Request, header: str) -> None:
        if not self._has_warned:  # once: clients decide how often it happens
            logger.warning("proxy_header_ignored", header=header, peer=request.remote)
            self._has_warned = True


class Rule:
    """The `auth:` of one endpoint, compiled."""

    def __init__(self, endpoint: MessageEndpoint, folder: Path) -> None:
        """Compile.

        Args:
            endpoint: with `auth` as the file has it.
            folder: where modules that the condition names are looked for.

        Raises:
            Misconfigured: a key or value of `auth:` is not understood.
        """
        where = f"url: {endpoint.name}: auth"
        rules = endpoint.auth if isinstance(endpoint.auth, dict) else {}
        for key in rules:
            if key not in ("membership", "condition"):
                raise Misconfigured(f"{where}: {key!r} is neither membership nor condition")
        self.needs_login = endpoint.auth not in (None, False)
        self._name = endpoint.name
        self._memberships: tuple[Membership, ...] = ()
        if "membership" in rules:
            self._memberships = _memberships(rules["membership"], f"{where}: membership")
        self._condition: Expression | None = None
        if "condition" in rules:
            self._condition = _condition(rules["condition"], f"{where}: condition", folder)

    async def check(self, handler: Handler) -> None:
        """Let pass who may use the endpoint.

        Raises:
            Rejected: `unauthorized` without a login, `forbidden` for a user who may not.
        """
        if not self.needs_login:
            return
        user = handler.current_user
        if user is None:
            raise Rejected("unauthorized", "log in to use this")
        if self._memberships and not any(_has(user, member) for member in self._memberships):
            raise Rejected("forbidden", "this user may not use this")
        if self._condition and not await self._holds(self._condition, handler):
            raise Rejected("forbidden", "this user may not use this")

    async def _holds(self, condition: Expression, handler: Handler) -> bool:
        values = {"handler": handler, "handler_current_user": handler.current_user}
        try:
            async with asyncio.timeout(HOOK_SECONDS):
                return bool(await condition(args=handler.args, **values))
        except EventHubError:
            raise
        except Exception:  # the operator's code: a condition that fails does not hold
            limited.exception("condition_failed", by=self._name, endpoint=self._name)
            return False


def _user(attributes: Mapping[str, Any], user_id: object, source: str) -> User:
    """Return a user with an id that is safe in rows, headers and logs."""
    if isinstance(user_id, int) and not isinstance(user_id, bool):
        user_id = str(user_id)
    if not isinstance(user_id, str) or not 1 <= len(user_id) <= MAX_USER_ID:
        raise Rejected("unauthorized", f"{source} names no user")
    if not user_id.isprintable():  # controls, or what was not UTF-8
        raise Rejected("unauthorized", f"{source} is not a user's id")
    return User({**attributes, "id": user_id})


def _memberships(given: Any, where: str) -> tuple[Membership, ...]:
    """Return the alternatives: Gramex takes one mapping, or a list of them."""
    alternatives = given if isinstance(given, list) else [given]
    if not alternatives or not all(isinstance(entry, dict) and entry for entry in alternatives):
        raise Misconfigured(f"{where} is not of the form `attribute: value or list of values`")
    return tuple(
        {str(key): _values(value, f"{where}: {key}") for key, value in entry.items()}
        for entry in alternatives
    )


def _values(value: object, where: str) -> tuple[Any, ...]:
    values = value if isinstance(value, list) else [value]
    for entry in values:
        if not isinstance(entry, str | int | float | bool):
            raise Misconfigured(f"{where}: {entry!r} is not text, a number, true or false")
    return tuple(values)


def _condition(given: object, where: str, folder: Path) -> Expression:
    if isinstance(given, dict) and set(given) == {"function"}:  # Gramex's long form
        given = given["function"]
    if not isinstance(given, str):
        raise Misconfigured(f"{where} is not an expression")
    try:
        return compile_expression(given, OPEN_NAMES, folder=folder)
    except Misconfigured as error:
        raise Misconfigured(f"{where}: {error}") from error


def _has(user: User, membership: Membership) -> bool:
    return all(_matches(_attribute(user, key), values) for key, values in membership.items())


def _attribute(user: User, key: str) -> Any:
    """Return an attribute; dots lead into it, unless it has that very name, as claims may."""
    if (value := user.get(key)) is not None:
        return value
    first, *path = key.split(".")
    value = user.get(first)
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _matches(attribute: Any, values: tuple[Any, ...]) -> bool:
    owned = attribute if isinstance(attribute, list | tuple | set) else [attribute]
    return any(_is_same(one, value) for one in owned for value in values)


def _is_same(one: Any, other: Any) -> bool:
    """Python's True equals 1; a level of 1 is no flag."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
