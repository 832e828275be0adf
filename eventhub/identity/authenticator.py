"""Authenticator: which user sent a request, and until when its login is valid.

The first of these sources names the user: a bearer token, a trusted proxy's header, the session
cookie. An invalid token is refused, and never falls back to another source.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
from aiohttp import web

from eventhub.config import Auth
from eventhub.errors import Rejected, Revoked
from eventhub.handler import Handler, RequestInfo, User
from eventhub.identity.access import user_key
from eventhub.identity.api_keys import API_KEYS, ApiKeys, is_api_key
from eventhub.identity.audit import USER
from eventhub.identity.bearer import QUERY, Tokens, hide_token, take_query_token, token_of
from eventhub.identity.expiry import LoginValidity, wall_clock
from eventhub.identity.logins import Logins, denied_key
from eventhub.identity.proxies import peer_of, proxies_of
from eventhub.identity.sessions import (
    setup_sessions,
    user_attributes,
    validity_of,
    values_of,
)

logger = structlog.get_logger(__name__)

MAX_USER_ID = 200  # characters, as many as an id of a row may have
_NO_TOKENS: Final = "this hub takes no tokens: its `auth:` has no `jwt:`, and it has no API keys"


class Login(NamedTuple):
    """The user of a request."""

    user: User | None
    validity: LoginValidity | None
    """How long it holds, and which `marks` end it; None without a user."""

    @property
    def expires_at(self) -> float | None:
        """Unix time at which it ends by itself; None if it does not."""
        return None if self.validity is None else self.validity.expires_at


def setup_auth(app: web.Application, auth: Auth, folder: Path, logins: Logins) -> "Authenticator":
    """Add sessions and bearer tokens to an application, and return what names its users.

    Args:
        app: not yet started.
        auth: the configuration.
        folder: of the hub's data.
        logins: which sessions and tokens hold.

    Raises:
        Misconfigured: `auth:` contradicts itself, or the session key in `folder` cannot be read.
    """
    authenticator = Authenticator(auth, logins)
    app[API_KEYS] = authenticator.api_keys
    setup_sessions(app, auth.session, folder, authenticator.proxies, logins)
    app.middlewares.append(hide_token)
    return authenticator


class Authenticator:
    """Names the user of a request."""

    def __init__(self, auth: Auth, logins: Logins) -> None:
        self.auth = auth
        self._state = logins.state
        self.api_keys = ApiKeys(logins)
        self._tokens = Tokens(auth.jwt) if auth.jwt else None
        self._user_claim = auth.jwt.user_claim if auth.jwt else ""
        self._user_header = auth.proxy.header if auth.proxy else None
        self.proxies = proxies_of(auth)
        """The proxies whose `X-Forwarded-*` headers are trusted."""
        self._has_warned = False

    @property
    def takes_tokens(self) -> bool:
        """Whether bearer tokens name users here."""
        return self._tokens is not None or self._state.has_keys

    def take_query(self, request: web.Request, values: list[str], *, is_live: bool) -> None:
        """Take the token in the URL of a request.

        Args:
            request: gets it, for `login_of`.
            values: of `_token`.
            is_live: it is for a WebSocket or an event stream, whose headers a browser cannot set.

        Raises:
            Rejected: `bad_filter`: it may not be there; `unauthorized`: this hub takes no tokens.
                A token is never ignored.
        """
        if not self.auth.query:
            text = f"{QUERY}: URLs end up in logs, so that tokens in them are refused: send"
            text += " the token as a subprotocol or a header; `auth: query: true` would accept it"
            raise Rejected("bad_filter", text, column=QUERY)
        if not is_live:
            text = f"{QUERY} is for WebSockets and event streams: send the header Authorization"
            raise Rejected("bad_filter", text, column=QUERY)
        if not self.takes_tokens:
            raise Rejected("unauthorized", _NO_TOKENS)
        take_query_token(request, values)

    async def login_of(self, request: web.Request) -> Login:
        """Return the user, which is None without a login, and when the login ends.

        Raises:
            Rejected: `unauthorized`: the bearer token or the proxy's header is invalid.
            Unavailable: the issuer's keys cannot be fetched now.
        """
        token = token_of(request)
        if token is not None and (self._tokens or is_api_key(token)):
            return await self.login_of_token(token)
        header = self._user_header
        if header is not None and (name := self._proxy_user(request, header)):
            user = user_of({}, name, header)
            marks = frozenset((user_key(user.id),))
            return Login(user, LoginValidity(None, marks, wall_clock(), self._state))
        attributes = user_attributes(request)
        if attributes is None:
            return Login(None, None)
        return Login(user_of(attributes, attributes.get("id"), "session"), validity_of(request))

    async def login_of_token(self, token: str) -> Login:
        """Return the user that a token names, and when the login ends.

        Raises:
            Rejected: `unauthorized`: the token is not valid, or this hub takes none.
            Unavailable: the issuer's keys cannot be fetched now.
        """
        if is_api_key(token):
            return Login(*self.api_keys.login_of(token))
        if self._tokens is None:
            raise Rejected("unauthorized", _NO_TOKENS)
        claims = await self._tokens.claims(token)
        user = user_of(claims, claims.get(self._user_claim), f"claim {self._user_claim}")
        marks = {user_key(user.id)}
        if (jti := claims.get("jti")) is not None:
            marks.add(denied_key("jti", str(jti)))
        end, began = self._tokens.end_of(claims), self._tokens.began_of(claims)
        validity = LoginValidity(end, frozenset(marks), began, self._state)
        if validity.is_revoked:
            raise Revoked
        return Login(user, validity)

    async def handler_of(
        self,
        request: web.Request,
        args: dict[str, list[str]],
        kwargs: Mapping[str, Any],
        login: Login | None = None,
    ) -> Handler:
        """Return what expressions may read of a request.

        Args:
            request: the request.
            args: of its URL.
            kwargs: of its endpoint.
            login: of its client, if it is known; by default what `login_of` returns.

        Raises:
            Rejected: as `login_of`.
            Unavailable: as `login_of`.
        """
        login = login or await self.login_of(request)
        if login.user is not None:
            request[USER] = login.user.id
        return Handler(
            current_user=login.user,
            validity=login.validity,
            session=values_of(request),
            args=args,
            request=RequestInfo(
                headers=request.headers, remote=peer_of(request), path=request.path
            ),
            kwargs=kwargs,
        )

    def _proxy_user(self, request: web.Request, header: str) -> str | None:
        names = [value.strip() for value in request.headers.getall(header, [])]
        if names and not self.proxies.sent(request):
            self._warn(request, header)
            return None
        if len(names) > 1:  # a proxy that adds its header keeps the one that the client sent
            raise Rejected("unauthorized", f"{header} was sent more than once")
        return names[0] if names else None

    def _warn(self, request: web.Request, header: str) -> None:
        if not self._has_warned:  # once, because clients decide how often it happens
            logger.warning("proxy_header_ignored", header=header, peer=peer_of(request))
            self._has_warned = True


def user_of(attributes: Mapping[str, Any], user_id: object, source: str) -> User:
    """Return a user with an id that is safe in rows, headers and logs."""
    if isinstance(user_id, int) and not isinstance(user_id, bool):
        user_id = str(user_id)
    if not isinstance(user_id, str) or not 1 <= len(user_id) <= MAX_USER_ID:
        raise Rejected(
            "unauthorized",
            f"{source} names no user: it must be text of 1 to {MAX_USER_ID} characters",
        )
    if not user_id.isprintable():  # control characters, or bytes that are not UTF-8
        raise Rejected("unauthorized", f"{source}: a user's id must not have control characters")
    return User({**attributes, "id": user_id})
