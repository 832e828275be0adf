"""Login: the page of a SimpleAuth, and the way to the login pages of a file.

A wrong name and a wrong password are answered in the same words and after the same time.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from eventhub.config import Config, Endpoint, LogoutEndpoint, OidcEndpoint, SimpleAuthEndpoint
from eventhub.errors import Rejected, Unavailable
from eventhub.gateway import refusal
from eventhub.gateway.answering import HttpHandler, answered
from eventhub.gateway.body import Bodies, expect
from eventhub.gateway.form_page import MAX_FORM, Form, FormPage, html, next_of, see
from eventhub.gateway.login_page import login_form
from eventhub.gateway.logout import LogoutPage
from eventhub.identity.attempts import Attempts
from eventhub.identity.audit import note_failed_login, record_login
from eventhub.identity.passwords import Passwords
from eventhub.identity.proxies import Proxies, source_of_client
from eventhub.identity.sessions import form_token, log_in

if TYPE_CHECKING:
    from eventhub.gateway.oidc import OidcPage

METHODS: Final = ("GET", "HEAD", "POST", "OPTIONS")
_WRONG: Final = "This user name and password do not belong together."


def add_login_routes(app: web.Application, config: Config, proxies: Proxies) -> None:
    """Give an application its login and logout pages, and lead to the first login page.

    A page with a form comes first, because it has links to the others.

    Args:
        app: not yet started; it has sessions.
        config: the configuration.
        proxies: the proxies whose headers are trusted.
    """
    bodies = Bodies(MAX_FORM)
    attempts = Attempts()
    providers = {each.name: _oidc_page(each, proxies) for each in config.of_kind(OidcEndpoint)}
    for provider in providers.values():
        _add(app, provider.entry, provider.answer, ("GET", "OPTIONS"))
    others = {each.entry.pattern: each.entry.title for each in providers.values()}
    logins = config.of_kind(SimpleAuthEndpoint)
    for entry in logins:
        _add(app, entry, LoginPage(entry, bodies, attempts, proxies, others).answer)
    for leave in config.of_kind(LogoutEndpoint):
        _add(app, leave, LogoutPage(leave, bodies, proxies, providers).answer)
    if first := [*(each.pattern for each in logins), *others][:1]:
        app.middlewares.append(_leads_to(first[0]))


def _oidc_page(entry: OidcEndpoint, proxies: Proxies) -> "OidcPage":
    """Return the page of an entry; what it needs takes a while to load, and most hubs have none."""
    from eventhub.gateway.oidc import OidcPage

    return OidcPage(entry, proxies)


def _add(
    app: web.Application, entry: Endpoint, page: HttpHandler, methods: Sequence[str] = METHODS
) -> None:
    handler = answered(entry.name, partial(_dispatch, page, methods), refusal.refuse)
    app.router.add_route("*", entry.pattern, handler, expect_handler=expect)


async def _dispatch(
    page: HttpHandler, methods: Sequence[str], request: web.Request
) -> web.StreamResponse:
    if request.method == "OPTIONS":
        return web.Response(status=204, headers={"Allow": ", ".join(methods)})
    if request.method not in methods:
        raise web.HTTPMethodNotAllowed(request.method, methods)
    return await page(request)


class LoginPage(FormPage):
    """The page of one SimpleAuth."""

    example = '{"user": "ann", "password": "…"}'

    def __init__(
        self,
        entry: SimpleAuthEndpoint,
        bodies: Bodies,
        attempts: Attempts,
        proxies: Proxies,
        others: Mapping[str, str],
    ) -> None:
        super().__init__(bodies, proxies)
        self._entry = entry
        self._others = others
        self._attempts = attempts
        self._passwords = Passwords(entry.credentials)

    async def _take(self, request: web.Request, form: Form) -> web.StreamResponse:
        user, password = form.fields.get("user", ""), form.fields.get("password", "")
        address = source_of_client(request, self._proxies)
        if (seconds := self._attempts.wait(user, address)) > 0:
            return self._wait(request, form, seconds)
        attributes = await self._attempt(user, password, address)
        if attributes is None:
            known = user if user in self._entry.credentials else ""
            note_failed_login(request, known, self._proxies)
            if form.is_json:
                raise Rejected("unauthorized", "the user name or the password is wrong")
            return self._show(request, user=user, wrong=_WRONG, status=401)
        await record_login(request, user, self._proxies)
        await log_in(request, attributes)
        if form.is_json:
            return web.json_response({"user": user}, headers={"Cache-Control": "no-store"})
        return see(next_of(request, self._entry.redirect))

    async def _attempt(self, user: str, password: str, address: str) -> Mapping[str, Any] | None:
        """Return the attributes of the user, or None: the attempt has failed."""
        self._attempts.begin(user, address)
        try:
            attributes = await self._passwords.user_of(user, password)
        except Unavailable:
            self._attempts.withdraw(user, address)
            raise
        if attributes is not None:
            self._attempts.succeeded(user, address)
        return attributes

    def _show(
        self, request: web.Request, *, user: str = "", wrong: str = "", status: int = 200
    ) -> web.Response:
        token = form_token(request)
        wanted = next_of(request, "")
        query = f"?next={quote(wanted, safe='/')}" if wanted else ""
        others = {f"{path}{query}": title for path, title in self._others.items()}
        page = login_form(self._entry.title, token, user=user, wrong=wrong, others=others)
        return html(page, status)

    def _wait(self, request: web.Request, form: Form, seconds: float) -> web.StreamResponse:
        """Answer an attempt that comes too early, without looking at its password."""
        after = math.ceil(seconds)
        if form.is_json:
            text = f"too many failed logins: wait {after} s"
            return refusal.answer(Unavailable(text, code="too_many_logins", retry_after=after))
        wrong = f"Too many logins failed. Please wait {after} seconds, and try again."
        response = self._show(request, user=form.fields.get("user", ""), wrong=wrong, status=429)
        response.headers["Retry-After"] = str(after)
        return response


def _leads_to(login: str) -> Middleware:
    """Lead people who open a page without a login to the login page, and back again."""

    @web.middleware
    async def lead(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        is_sent = response.prepared or request.path == login
        if response.status != 401 or is_sent or not _is_page(request):
            return response
        return see(f"{login}?next={quote(request.raw_path, safe='/')}")

    return lead


def _is_page(request: web.Request) -> bool:
    """Return whether a person opens a page: not a script, a program, or a picture in a page."""
    if request.method not in ("GET", "HEAD") or "Authorization" in request.headers:
        return False
    mode = request.headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return mode == "navigate" and request.headers.get("Sec-Fetch-Dest") == "document"
    return "text/html" in request.headers.get("Accept", "")
