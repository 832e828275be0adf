"""Sessions: an encrypted cookie gives each browser a lasting id.

The cookie is sent with the first answer of any kind. The middleware of aiohttp-session adds it only
to plain responses, never to a WebSocket upgrade or a stream, whose headers are sent before the
handler returns. This module adds it when headers are about to be sent.
"""

import hashlib
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler as HttpHandler
from aiohttp.typedefs import Middleware
from aiohttp_session import Session as CookieSession
from aiohttp_session.cookie_storage import EncryptedCookieStorage
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from eventhub.config import Session
from eventhub.errors import Misconfigured
from eventhub.identity.audit import note_cookie
from eventhub.identity.expiry import wall_clock
from eventhub.identity.proxies import NO_PROXIES, Proxies
from eventhub.ingest.receipts import NOBODY, WINDOW, Owner

KEY_FILE = "session.key"
Saver = Callable[[web.Request, web.StreamResponse], Awaitable[None]]
StorageOf = Callable[[web.Request], EncryptedCookieStorage]
NAME = "eventhub"
"""Beginning of the default name of the cookie."""
_SESSION = web.RequestKey("session", CookieSession)
_HAD_COOKIE = web.RequestKey("had_cookie", bool)
"""Whether the request came with a valid cookie of the session."""
_COOKIE = web.RequestKey("session_cookie", str)
"""The name of the cookie."""
_IS_WANTED = web.RequestKey("session_is_wanted", bool)
"""Whether a hook reads the session."""
_FRESH = frozenset(("id", "born"))
"""What a new session holds before anybody has put something into it."""
_SALT = b"eventhub session cookie"
"""Fixed, so that all gateways with the same secret read each other's cookies."""


def setup_sessions(
    app: web.Application, session: Session, folder: Path, proxies: Proxies = NO_PROXIES
) -> None:
    """Add a session with an `id` to every request of an application.

    Args:
        app: not yet started; afterwards `session_of` works in its handlers.
        session: the configuration of the cookie.
        folder: where the secret is stored if the configuration has none.
        proxies: the proxies that are trusted for a client's address and scheme.

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
    key = cookie_key(text)
    storages = {is_secure: _storage(key, session, is_secure) for is_secure in (False, True)}

    def storage_of(request: web.Request) -> EncryptedCookieStorage:
        is_secure = session.secure
        if is_secure is None:
            is_secure = _is_for_other_sites(session) or proxies.by_tls(request)
        return storages[is_secure]

    app.middlewares.append(_opener(storage_of, session, proxies))
    app.on_response_prepare.append(_saver(storage_of, is_partitioned=_is_partitioned(session)))


def _is_for_other_sites(session: Session) -> bool:
    return session.samesite == "none" or _is_partitioned(session)


def _is_partitioned(session: Session) -> bool:
    if session.partitioned is None:  # browsers increasingly drop other cookies of embedded pages
        return session.samesite == "none"
    return session.partitioned


def cookie_name(key: bytes, *, is_secure: bool) -> str:
    """Return the default name of the cookie.

    Cookies do not depend on the port, so hubs on one host would replace each other's cookie if they
    had one name. Hubs with the same secret share it.

    Browsers accept a `__Host-` cookie from this host only, and by HTTPS only (RFC 6265bis).
    """
    name = f"{NAME}-{hashlib.sha256(key).hexdigest()[:8]}"
    return f"__Host-{name}" if is_secure else name


def _storage(key: bytes, session: Session, is_secure: bool) -> EncryptedCookieStorage:
    """Return what reads and writes the cookie of requests by TLS, or by plain HTTP."""
    return _Storage(
        key,
        cookie_name=session.cookie or cookie_name(key, is_secure=is_secure),
        max_age=session.max_age,
        secure=is_secure,
        httponly=True,
        samesite=session.samesite.capitalize(),
    )


def session_of(request: web.Request) -> CookieSession:
    """Return the session of a request. Changes are stored until the headers are sent."""
    return request[_SESSION]


def cookie_of(request: web.Request) -> str:
    """Return the name of the session's cookie."""
    return request[_COOKIE]


def values_of(request: web.Request) -> dict[str, Any]:
    """Return what the session of a request holds, as expressions see it: nothing of logins."""
    return {k: v for k, v in session_of(request)._mapping.items() if not k.startswith("_")}


def keep_session(request: web.Request) -> None:
    """Send the cookie whatever the client looks like: a hook reads the session."""
    request[_IS_WANTED] = True


def _may_keep(request: web.Request, session: CookieSession) -> bool:
    """Return whether a client is sent its cookie.

    A program sends neither `Origin` nor `Cookie`, and would drop it. A browser gets it with the
    first request that has an `Origin`: a WebSocket, or a write.
    """
    if "Origin" in request.headers or "Cookie" in request.headers or _IS_WANTED in request:
        return True
    return not session.new or session._mapping.keys() != _FRESH


def session_owner(request: web.Request) -> Owner:
    """Return the owner of the idempotency keys of a client without a login.

    A client that sends no cookie may never send one: curl does not.
    """
    session = session_of(request)
    if not request[_HAD_COOKIE]:
        return NOBODY
    age = wall_clock() - session.get("born", session.created)
    return Owner(session=str(session["id"]), is_new=age < WINDOW.total_seconds())


def end_of(session: CookieSession, config: Session) -> float:
    """Return the Unix time at which a session ends, however much it is used."""
    return float(session.get("born", session.created)) + config.max_life


def user_attributes(session: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the attributes of the user of a session; None without a login."""
    user = session.get("user")
    return user if isinstance(user, dict) else None


def log_in(request: web.Request, user: Mapping[str, Any]) -> None:
    """Begin a new session, with a user, who has `id`.

    Its own id is new too: one that was planted in the browser before is worthless.
    """
    session = session_of(request)
    session.invalidate()
    session.update(id=secrets.token_urlsafe(16), born=_now(), user=dict(user))
    keep_session(request)


def log_out(request: web.Request) -> None:
    """Begin a new session without a user."""
    session = session_of(request)
    session.invalidate()
    session.update(id=secrets.token_urlsafe(16), born=_now())
    keep_session(request)


def form_token(request: web.Request) -> str:
    """Return what a form of this hub sends back, so that no other site can send it.

    It depends on the session alone, so that it fits in every tab.
    """
    session = session_of(request)
    if "form" not in session:
        session["form"] = secrets.token_urlsafe(16)
    keep_session(request)
    return str(session["form"])


def cookie_key(secret: str) -> bytes:
    """Derive the 32-byte key of the cookies from a secret, which may be any text.

    The derivation is scrypt, which takes 40 ms once, because every client holds a ciphertext on
    which it can try guesses.

    Raises:
        Misconfigured: the secret is empty, for example because a variable is not set.
    """
    if not secret.strip():
        raise Misconfigured("auth: session: secret is empty: set it, or leave it out")
    return Scrypt(salt=_SALT, length=32, n=2**14, r=8, p=1).derive(secret.encode())


def load_secret(path: Path) -> str:
    """Return the secret in a file; the first process that finds no file makes it.

    Raises:
        Misconfigured: the file cannot be read or made, or is empty.
    """
    try:
        if not path.exists():
            _make_secret(path)
        text = path.read_text("ascii")
    except (OSError, UnicodeError) as error:
        raise Misconfigured(f"the key of the session cookies, {path}: {error}") from error
    if not text.strip():
        raise Misconfigured(f"the key of the session cookies, {path}, is empty: delete the file")
    return text


class _Storage(EncryptedCookieStorage):
    def load_cookie(self, request: web.Request) -> str | None:
        """Ignore a cookie that is not ASCII: Fernet would fail instead of refusing it."""
        cookie = super().load_cookie(request)
        return cookie if cookie is None or cookie.isascii() else None


def _opener(storage_of: StorageOf, config: Session, proxies: Proxies) -> Middleware:
    @web.middleware
    async def open_session(request: web.Request, handler: HttpHandler) -> web.StreamResponse:
        storage = storage_of(request)
        request[_COOKIE] = storage.cookie_name
        if config.samesite == "none":  # for pages in frames, which begin with a plain GET
            keep_session(request)
        session = await storage.load_session(request)
        if session.new and storage.cookie_name in request.cookies:
            note_cookie(request, proxies)
        if "id" in session and wall_clock() > end_of(session, config):
            session.invalidate()
        request[_HAD_COOKIE] = "id" in session
        if "id" not in session or _is_half_spent(session):
            session["born"] = session.get("born", session.created if "id" in session else _now())
            session["id"] = session.get("id") or secrets.token_urlsafe(16)
        request[_SESSION] = session
        return await handler(request)

    return open_session


def _is_half_spent(session: CookieSession) -> bool:
    """Renewing here keeps a session in use alive without a cookie in every answer."""
    age = wall_clock() - session.created
    return session.max_age is not None and age > session.max_age / 2


def _now() -> int:
    return int(wall_clock())


def _saver(storage_of: StorageOf, *, is_partitioned: bool) -> Saver:
    async def save_session(request: web.Request, response: web.StreamResponse) -> None:
        session = request.get(_SESSION)
        if session is None or not session._changed or not _may_keep(request, session):
            return
        storage = storage_of(request)
        await storage.save_session(request, response, session)
        # aiohttp turned `response.cookies` into headers before it sent this signal.
        text = response.cookies[storage.cookie_name].OutputString()
        # Not a value that `http.cookies` knows before Python 3.14.
        response.headers.add("Set-Cookie", f"{text}; Partitioned" if is_partitioned else text)

    return save_session


def _make_secret(path: Path) -> None:
    """Write a random secret that only this user can read, completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # unlike rename, it never replaces what another process made
        except FileExistsError:
            return
    finally:
        draft.unlink()
