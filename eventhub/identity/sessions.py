"""Sessions: an encrypted cookie gives each browser a lasting id, and may log its user in."""

import secrets
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler as HttpHandler
from aiohttp.typedefs import Middleware
from aiohttp_session import Session as CookieSession

from eventhub.config import Session
from eventhub.errors import Misconfigured
from eventhub.identity.access import user_key
from eventhub.identity.audit import note_cookie
from eventhub.identity.cookie_secret import KEY_FILE, cookie_key, load_secret
from eventhub.identity.expiry import LoginValidity, wall_clock
from eventhub.identity.logins import Client, Logins, denied_key, session_key, session_token
from eventhub.identity.proxies import Proxies, client_of
from eventhub.identity.session_cookie import (
    SESSION,
    STORAGE_OF,
    StorageOf,
    begin_again,
    has_session,
    keep_session,
    saver_of,
    session_of,
    storages_of,
)
from eventhub.ingest.receipts import NOBODY, WINDOW, Owner

_HAD_COOKIE = web.RequestKey("had_cookie", bool)
"""Whether the request came with a valid cookie of the session."""


class _Setup(NamedTuple):
    """What the sessions of an application depend on."""

    config: Session
    proxies: Proxies
    logins: Logins


_SETUP = web.AppKey("sessions", _Setup)
_VALIDITY = web.RequestKey("session_validity", LoginValidity)
"""How long the login of the session holds; only there while it does."""
_LOGIN: Final = "_login"
"""In the sessions that the hub itself began: without a record they do not hold."""
SETTLING_SECONDS: Final = 10.0
"""Age of a session until which its record may be on its way from another gateway."""


def setup_sessions(
    app: web.Application,
    session: Session,
    folder: Path,
    proxies: Proxies,
    logins: Logins,
) -> None:
    """Add a session with an `id` to every request of an application.

    Args:
        app: not yet started; afterwards `session_of` works in its handlers.
        session: the configuration of the cookie.
        folder: where the secret is stored if the configuration has none.
        proxies: the proxies that are trusted for a client's address and scheme.
        logins: which sessions hold.

    Raises:
        Misconfigured: the secret is empty, or the stored one cannot be read or made; the cookie
            would not be accepted by a browser.
    """
    if session.secure is False and (session.samesite == "none" or session.partitioned):
        raise Misconfigured(
            "auth: session: browsers accept `samesite: none` and `partitioned: true` over HTTPS"
            " only: leave out `secure: false`"
        )
    text = load_secret(folder / KEY_FILE) if session.secret is None else session.secret
    storage_of = storages_of(cookie_key(text), session, proxies)
    app[_SETUP] = _Setup(session, proxies, logins)
    app[STORAGE_OF] = storage_of
    app.middlewares.append(_opener(storage_of, app[_SETUP]))
    app.on_response_prepare.append(saver_of(storage_of, session))


def values_of(request: web.Request) -> dict[str, Any]:
    """Return what the session of a request holds, as expressions see it: nothing of logins.

    It is empty if the client sent no cookie, and no expression may read it (`keep_session`).
    """
    if not has_session(request):
        return {}
    values = session_of(request)._mapping
    hidden = () if _VALIDITY in request else ("user",)
    return {k: v for k, v in values.items() if not k.startswith("_") and k not in hidden}


def session_owner(request: web.Request) -> Owner:
    """Return the owner of the idempotency keys of a client without a login.

    A client that sends no cookie may never send one: curl does not.
    """
    if _HAD_COOKIE not in request:
        return NOBODY
    session = session_of(request)
    age = wall_clock() - session.get("born", session.created)
    return Owner(session=str(session["id"]), is_new=age < WINDOW.total_seconds())


def end_of(session: CookieSession, config: Session) -> float:
    """Return the Unix time at which a session ends, however much it is used."""
    return float(session.get("born", session.created)) + config.max_life


def user_attributes(request: web.Request) -> Mapping[str, Any] | None:
    """Return the attributes of the user of the session; None without a login that holds."""
    return _user_in(session_of(request)) if _VALIDITY in request else None


def validity_of(request: web.Request) -> LoginValidity:
    """Return how long the login of the session holds, if there are `user_attributes`."""
    return request[_VALIDITY]


async def log_in(request: web.Request, user: Mapping[str, Any]) -> None:
    """Begin a new session, with a user, who has `id`.

    Its own id is new too: one that was planted in the browser before is worthless.

    Raises:
        Unavailable: the login cannot be stored now; nothing has changed.
    """
    setup = request.app[_SETUP]
    new, born = secrets.token_urlsafe(16), _now()
    client = Client(client_of(request, setup.proxies), request.headers.get("User-Agent", ""))
    ends = born + setup.config.max_life
    await setup.logins.begin_session(new, str(user["id"]), ends, client)
    session = session_of(request)
    session.invalidate()
    session.update(id=new, born=born, user=dict(user))
    session[_LOGIN] = True
    request[_VALIDITY] = _validity(session, user, setup)
    keep_session(request)


async def log_out(request: web.Request, *, everywhere: bool = False) -> None:
    """End the login of the session on every gateway, and begin a new one without a user.

    Args:
        request: with a login.
        everywhere: end all other logins of the user, too.

    Raises:
        Unavailable: that cannot be stored now; nothing has changed.
    """
    setup, session = request.app[_SETUP], session_of(request)
    user = _user_in(session)
    if user is not None and everywhere:
        await setup.logins.end_user(str(user.get("id")))
    if _LOGIN in session:
        await setup.logins.end_session(session_token(str(session["id"])))
    elif user is not None:
        ends = end_of(session, setup.config)
        await setup.logins.deny(denied_key("session", str(session["id"])), ends)
    begin_again(session)
    if _VALIDITY in request:
        del request[_VALIDITY]
    keep_session(request)


async def use_up(request: web.Request, kind: str, secret: str, seconds: float) -> bool:
    """Use a secret of a session that may be used once, whatever copies of its cookie there are.

    Args:
        request: that brings it.
        kind: of secret.
        secret: unguessable.
        seconds: after which it is worthless in any case.

    Returns:
        Whether it was not used before, on any gateway.

    Raises:
        Unavailable: that cannot be stored now.
    """
    logins = request.app[_SETUP].logins
    return await logins.use_up(denied_key(kind, secret), wall_clock() + seconds)


def form_token(request: web.Request) -> str:
    """Return what a form of this hub sends back, so that no other site can send it.

    It depends on the session alone, so that it fits in every tab.
    """
    session = session_of(request)
    if "form" not in session:
        session["form"] = secrets.token_urlsafe(16)
    keep_session(request)
    return str(session["form"])


def _opener(storage_of: StorageOf, setup: _Setup) -> Middleware:
    config = setup.config

    @web.middleware
    async def open_session(request: web.Request, handler: HttpHandler) -> web.StreamResponse:
        if config.samesite == "none":  # for pages in frames, which begin with a plain GET
            keep_session(request)
        if "Cookie" not in request.headers:
            return await handler(request)
        storage = storage_of(request)
        session = await storage.load_session(request)
        if session.new and storage.cookie_name in request.cookies:
            note_cookie(request, setup.proxies)
        if "id" in session and wall_clock() > end_of(session, config):
            session.invalidate()
        if "id" in session:
            request[_HAD_COOKIE] = True
        if "id" not in session or _is_half_spent(session):
            session["born"] = session.get("born", session.created if "id" in session else _now())
            session["id"] = session.get("id") or secrets.token_urlsafe(16)
        if (user := _user_in(session)) is not None:
            await _check_login(request, session, user, setup)
        request[SESSION] = session
        return await handler(request)

    return open_session


def _user_in(session: CookieSession) -> Mapping[str, Any] | None:
    user = session.get("user")
    return user if isinstance(user, dict) else None


async def _check_login(
    request: web.Request, session: CookieSession, user: Mapping[str, Any], setup: _Setup
) -> None:
    """Note how long the login of a session holds; one that was ended begins a new session."""
    key, is_ours = session_key(str(session["id"])), _LOGIN in session
    if is_ours and wall_clock() - session["born"] < SETTLING_SECONDS:
        await setup.logins.until_known(key)
    validity = _validity(session, user, setup)
    if not validity.is_revoked:
        request[_VALIDITY] = validity
    elif not is_ours or setup.logins.state.get(key) is not None:
        begin_again(session)


def _validity(session: CookieSession, user: Mapping[str, Any], setup: _Setup) -> LoginValidity:
    name, of_user = str(session["id"]), user_key(str(user.get("id")))
    ends, state = end_of(session, setup.config), setup.logins.state
    if _LOGIN in session:  # its record knows when it began
        return LoginValidity(ends, frozenset((session_key(name), of_user)), inf, state)
    began = float(session.get("born", session.created))
    return LoginValidity(ends, frozenset((denied_key("session", name), of_user)), began, state)


def _is_half_spent(session: CookieSession) -> bool:
    """Renewing here keeps a session in use alive without a cookie in every answer."""
    age = wall_clock() - session.created
    return session.max_age is not None and age > session.max_age / 2


def _now() -> int:
    return int(wall_clock())
