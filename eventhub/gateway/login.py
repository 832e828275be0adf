"""Login: the pages of SimpleAuth and LogoutHandler, and the way to them.

A form is taken only from a page of this hub, with the token of its session. A wrong name and a
wrong password are answered in the same words and after the same time.
"""

import hmac
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, quote

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from eventhub.config import Config, LogoutEndpoint, SimpleAuthEndpoint, is_own_path
from eventhub.errors import EventHubError, Rejected, Unavailable
from eventhub.gateway import refusal
from eventhub.gateway.answering import HttpHandler, answered
from eventhub.gateway.body import Bodies, expect
from eventhub.gateway.conditional import check_single
from eventhub.gateway.login_page import LOGIN_HEADERS, TOKEN_FIELD, login_form, logout_form
from eventhub.identity.attempts import Attempts
from eventhub.identity.audit import note_login
from eventhub.identity.origin import check_origin
from eventhub.identity.passwords import Passwords
from eventhub.identity.proxies import Proxies, client_of
from eventhub.identity.sessions import (
    form_token,
    log_in,
    log_out,
    session_of,
    user_attributes,
)

MAX_FORM: Final = 16 << 10
"""Bytes of a form."""
METHODS: Final = "GET, HEAD, POST, OPTIONS"
_WRONG: Final = "This user name and password do not belong together."
_STALE: Final = "Please try again: this page was too old, or the browser did not send its cookie."
_JSON: Final = "application/json"


class Sent(msgspec.Struct):
    """A login as JSON."""

    user: str
    password: str


class Form(NamedTuple):
    """What a client sent to log in or out."""

    fields: dict[str, str]
    is_json: bool
    """Sent by a program: a form of another site cannot have this type."""


def add_login_routes(app: web.Application, config: Config, proxies: Proxies) -> None:
    """Give an application its login and logout pages, and lead to the first login page.

    Args:
        app: not yet started; it has sessions.
        config: the configuration.
        proxies: the proxies whose headers are trusted.
    """
    bodies = Bodies(MAX_FORM)
    attempts = Attempts()
    logins = config.of_kind(SimpleAuthEndpoint)
    for entry in logins:
        _add(app, entry, LoginPage(entry, bodies, attempts, proxies).answer)
    for leave in config.of_kind(LogoutEndpoint):
        _add(app, leave, LogoutPage(leave, bodies, proxies).answer)
    if logins:
        app.middlewares.append(_leads_to(logins[0].pattern))


def _add(
    app: web.Application, entry: SimpleAuthEndpoint | LogoutEndpoint, page: HttpHandler
) -> None:
    handler = answered(entry.name, partial(_dispatch, page), _refuse)
    app.router.add_route("*", entry.pattern, handler, expect_handler=expect)


def _refuse(error: EventHubError, request: web.Request) -> web.StreamResponse:
    refusal.count(error, request)
    return refusal.answer(error)


async def _dispatch(page: HttpHandler, request: web.Request) -> web.StreamResponse:
    check_single(request)
    if request.method == "OPTIONS":
        return web.Response(status=204, headers={"Allow": METHODS})
    if request.method not in METHODS.split(", "):
        raise web.HTTPMethodNotAllowed(request.method, METHODS.split(", "))
    return await page(request)


class LoginPage:
    """The page of one SimpleAuth."""

    def __init__(
        self, entry: SimpleAuthEndpoint, bodies: Bodies, attempts: Attempts, proxies: Proxies
    ) -> None:
        self._entry = entry
        self._bodies = bodies
        self._attempts = attempts
        self._proxies = proxies
        self._passwords = Passwords(entry.credentials)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Show the form, or log a user in."""
        if request.method != "POST":
            return self._form(request)
        check_origin(request, [], self._proxies)
        form = await _read(request, self._bodies, self._proxies)
        if not form.is_json and not _has_token(request, form):
            return self._form(request, wrong=_STALE, status=403)
        user, password = form.fields.get("user", ""), form.fields.get("password", "")
        address = client_of(request, self._proxies)
        if (seconds := self._attempts.wait(user, address)) > 0:
            return self._wait(request, form, seconds)
        attributes = await self._attempt(user, password, address)
        if attributes is None:
            known = user if user in self._entry.credentials else ""
            note_login(request, known, "login_failed", self._proxies)
            if form.is_json:
                raise Rejected("unauthorized", "the user name or the password is wrong")
            return self._form(request, user=user, wrong=_WRONG, status=401)
        log_in(request, attributes)
        note_login(request, user, "logged_in", self._proxies)
        if form.is_json:
            return web.json_response({"user": user}, headers={"Cache-Control": "no-store"})
        return _see(_next(request, self._entry.redirect))

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

    def _form(
        self, request: web.Request, *, user: str = "", wrong: str = "", status: int = 200
    ) -> web.Response:
        page = login_form(self._entry.title, form_token(request), user=user, wrong=wrong)
        return _html(page, status)

    def _wait(self, request: web.Request, form: Form, seconds: float) -> web.StreamResponse:
        """Answer an attempt that comes too early, without looking at its password."""
        after = math.ceil(seconds)
        if form.is_json:
            error = Unavailable(f"too many failed logins: wait {after} s", code="too_many_logins")
            return refusal.answer(error, {"Retry-After": str(after)})
        wrong = f"Too many logins failed. Please wait {after} seconds, and try again."
        response = self._form(request, user=form.fields.get("user", ""), wrong=wrong, status=429)
        response.headers["Retry-After"] = str(after)
        return response


class LogoutPage:
    """The page of one LogoutHandler. A GET only asks: a link of another site must not log out."""

    def __init__(self, entry: LogoutEndpoint, bodies: Bodies, proxies: Proxies) -> None:
        self._entry = entry
        self._bodies = bodies
        self._proxies = proxies

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Show the form, or log the user out."""
        if request.method != "POST":
            return self._form(request)
        check_origin(request, [], self._proxies)
        form = await _read(request, self._bodies, self._proxies)
        if not form.is_json and not _has_token(request, form):
            return self._form(request, wrong=_STALE, status=403)
        if (user := _user_of(request)) is not None:
            log_out(request)
            note_login(request, user, "logged_out", self._proxies)
        if form.is_json:
            return web.json_response({"user": None}, headers={"Cache-Control": "no-store"})
        return _see(_next(request, self._entry.redirect))

    def _form(self, request: web.Request, *, wrong: str = "", status: int = 200) -> web.Response:
        user = _user_of(request)
        token = "" if user is None else form_token(request)
        return _html(logout_form(self._entry.title, token, user, wrong=wrong), status)


def _user_of(request: web.Request) -> str | None:
    attributes = user_attributes(session_of(request))
    return None if attributes is None else str(attributes.get("id"))


async def _read(request: web.Request, bodies: Bodies, proxies: Proxies) -> Form:
    """Read a form.

    Raises:
        Rejected: `too_large`, `bad_type`, `bad_body`.
    """
    kind = request.content_type
    with bodies.counted(client_of(request, proxies)) as reading:
        raw = await reading.raw(request)
        if kind == _JSON:
            return Form(_json_fields(raw), is_json=True)
        if kind != "application/x-www-form-urlencoded":
            raise Rejected("bad_type", "send a form, or JSON with user and password")
        try:
            values = parse_qs(raw.decode(), keep_blank_values=True, max_num_fields=20)
        except ValueError:
            raise Rejected("bad_body", "the body is not a form in UTF-8") from None
        return Form({name: given[-1] for name, given in values.items()}, is_json=False)


def _json_fields(raw: bytes) -> dict[str, str]:
    try:
        given: Any = msgspec.json.decode(raw or b"{}", type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Rejected(
            "bad_body", 'expected JSON such as {"user": "ann", "password": "…"}'
        ) from None
    return dict(given)


def _has_token(request: web.Request, form: Form) -> bool:
    sent = form.fields.get(TOKEN_FIELD, "").encode(errors="replace")
    return hmac.compare_digest(sent, form_token(request).encode())


def _next(request: web.Request, otherwise: str) -> str:
    """Return where to go on: a path of this site, whatever `?next=` says."""
    wanted = request.query.get("next", "")
    return wanted if is_own_path(wanted) else otherwise


def _see(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path, "Cache-Control": "no-store"})


def _html(page: bytes, status: int) -> web.Response:
    return web.Response(
        body=page, status=status, content_type="text/html", charset="utf-8", headers=LOGIN_HEADERS
    )


def _leads_to(login: str) -> Middleware:
    """Lead people who open a page without a login to the login page, and back again."""

    @web.middleware
    async def lead(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        is_sent = response.prepared or request.path == login
        if response.status != 401 or is_sent or not _is_page(request):
            return response
        return _see(f"{login}?next={quote(request.raw_path, safe='/')}")

    return lead


def _is_page(request: web.Request) -> bool:
    """Return whether a person opens a page: not a script, a program, or a picture in a page."""
    if request.method not in ("GET", "HEAD") or "Authorization" in request.headers:
        return False
    mode = request.headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return mode == "navigate" and request.headers.get("Sec-Fetch-Dest") == "document"
    return "text/html" in request.headers.get("Accept", "")
