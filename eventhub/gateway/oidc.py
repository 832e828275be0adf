"""OIDC: the page of an OIDCAuth, which sends a browser to its provider and takes it back.

Both are GETs: the second one counts only with the state of a login that this browser has begun.
"""

import math
from typing import Final
from urllib.parse import quote

from aiohttp import web

from eventhub.config import OidcEndpoint
from eventhub.errors import Rejected, Unavailable
from eventhub.gateway.form_page import html, next_of, see, user_of
from eventhub.gateway.login_page import problem_page
from eventhub.identity.attempts import Attempts
from eventhub.identity.audit import note_failed_login, record_login
from eventhub.identity.claims import LoginError
from eventhub.identity.oidc import LoggedIn, Oidc
from eventhub.identity.origin import Origin, check_origin
from eventhub.identity.pending import (
    MAX_SECONDS,
    SENT_BACK,
    Pending,
    begin,
    keep_provider,
    pending,
    put,
    take,
)
from eventhub.identity.proxies import Proxies, forwarded, source_of_client
from eventhub.identity.session_cookie import keep_session, session_of
from eventhub.identity.sessions import log_in, use_up

MAX_EXCHANGES: Final = 64
"""Logins that wait for their provider at the same time."""
RETRY_SECONDS: Final = 5
_HEADING: Final = "Log in"
_UNKNOWN: Final = (
    "This login began in another browser, or more than ten minutes ago, or is used already;"
    " or the browser did not send its cookie."
)
_TROUBLE: Final = "The login service reported a problem, and you are not logged in."
_DENIED: Final = "The login was cancelled, or your account may not be used here."


class OidcPage:
    """The page of one OIDCAuth."""

    def __init__(self, entry: OidcEndpoint, proxies: Proxies) -> None:
        self.entry = entry
        self._oidc = Oidc(entry)
        self._proxies = proxies
        self._attempts = Attempts()
        self._exchanges = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send a browser to the provider, or log in the user who comes back.

        Raises:
            Rejected: `forbidden`: a page of another site embeds this one.
        """
        check_origin(request, [], self._proxies)
        try:
            if any(name in request.query for name in ("code", "state", "error")):
                return await self._come_back(request)
            return await self._go(request)
        except LoginError as error:
            facts = {"detail": error.detail} if error.detail else {}
            note_failed_login(request, "", self._proxies, error.reason, **facts)
            return self._problem(request, error.text, 403)
        except Unavailable as error:
            response = self._problem(request, _sentence(error.message), error.http_status)
            response.headers["Retry-After"] = str(RETRY_SECONDS)
            return response

    async def end_session_url(
        self, request: web.Request, id_token: str | None, path: str
    ) -> str | None:
        """Return the address that ends the session at the provider, if the entry says so.

        Args:
            request: of the logout.
            id_token: of the login, if it is known.
            path: where the provider sends the browser afterwards.

        Raises:
            Unavailable: the provider cannot be reached.
        """
        if self.entry.logout != "end_session":
            return None
        return await self._oidc.end_session_url(id_token, self._own_url(request, path))

    async def _go(self, request: web.Request) -> web.StreamResponse:
        login = begin(session_of(request), self.entry.name, next_of(request, ""))
        keep_session(request)
        return see(await self._oidc.authorize_url(login, self._redirect_uri(request)))

    async def _come_back(self, request: web.Request) -> web.StreamResponse:
        session = session_of(request)
        if any(len(request.query.getall(name, [])) > 1 for name in SENT_BACK):
            raise LoginError("repeated_parameter")
        login = take(session, self.entry.name, request.query.get("state", ""))
        if login is None or not await use_up(request, "state", login.state, MAX_SECONDS):
            raise LoginError("unknown_state", _UNKNOWN)
        await self._oidc.check_issuer(request.query.get("iss"))
        if (error := request.query.get("error")) is not None:
            raise LoginError(
                "provider_error", _DENIED if error == "access_denied" else _TROUBLE, error
            )
        found = await self._exchange(request, login)
        others = pending(session)
        await record_login(request, found.user["id"], self._proxies)
        await log_in(request, found.user)
        put(session, others)
        keep = self.entry.logout == "end_session"
        keep_provider(session, self.entry.name, found.id_token if keep else None)
        return see(login.next or self.entry.redirect)

    async def _exchange(self, request: web.Request, login: Pending) -> LoggedIn:
        """Exchange the code, unless too many codes of this client, or of all, were refused."""
        address = source_of_client(request, self._proxies)
        if (seconds := self._attempts.wait(login.state, address)) > 0:
            text = f"Too many logins failed. Please wait {math.ceil(seconds)} seconds."
            raise LoginError("too_many_logins", text)
        if self._exchanges >= MAX_EXCHANGES:
            raise Unavailable("too many people log in at the same time: try again later")
        self._attempts.begin(login.state, address)
        self._exchanges += 1
        try:
            code = request.query.get("code", "")
            found = await self._oidc.exchange(login, code, self._redirect_uri(request))
        except Unavailable:
            self._attempts.withdraw(login.state, address)
            raise
        finally:
            self._exchanges -= 1
        self._attempts.succeeded(login.state, address)
        return found

    def _problem(self, request: web.Request, text: str, status: int) -> web.Response:
        again = self.entry.pattern
        if wanted := next_of(request, ""):
            again += f"?next={quote(wanted, safe='/')}"
        return html(problem_page(_HEADING, text, again, user_of(request)), status)

    def _redirect_uri(self, request: web.Request) -> str:
        return self.entry.redirect_uri or self._own_url(request, self.entry.pattern)

    def _own_url(self, request: web.Request, path: str) -> str:
        """Return the address of a path of this hub, as the browser knows it."""
        if self.entry.redirect_uri is not None:
            return "/".join(self.entry.redirect_uri.split("/", 3)[:3]) + path
        scheme = "https" if self._proxies.by_tls(request) else "http"
        host = forwarded(request, "X-Forwarded-Host", self._proxies) or request.host
        if Origin.parse(f"{scheme}://{host}") is None:
            raise Rejected("bad_request", "the header Host is not the name of a host")
        return f"{scheme}://{host}{path}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
