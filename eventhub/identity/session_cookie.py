"""Session cookie: its name, what reads and writes it, and when it is sent.

The cookie is sent with the first answer of any kind. The middleware of aiohttp-session adds it only
to plain responses, never to a WebSocket upgrade or a stream, whose headers are sent before the
handler returns. This module adds it when headers are about to be sent.
"""

import hashlib
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp_session import Session as CookieSession
from aiohttp_session.cookie_storage import EncryptedCookieStorage

from eventhub.config import Session
from eventhub.identity.expiry import wall_clock
from eventhub.identity.proxies import Proxies

Saver = Callable[[web.Request, web.StreamResponse], Awaitable[None]]
StorageOf = Callable[[web.Request], EncryptedCookieStorage]
NAME = "eventhub"
"""Beginning of the default name of the cookie."""
SESSION = web.RequestKey("session", CookieSession)
"""The session of a request."""
STORAGE_OF: web.AppKey[StorageOf] = web.AppKey("session_storage_of")
"""What reads and writes the cookie of a request."""
_IS_WANTED = web.RequestKey("session_is_wanted", bool)
"""Whether a hook reads the session."""
_FRESH = frozenset(("id", "born"))
"""What a new session holds before anybody has put something into it."""


def storages_of(key: bytes, session: Session, proxies: Proxies) -> StorageOf:
    """Return what reads and writes the cookie of a request, which depends on its scheme.

    Args:
        key: of the cookies.
        session: their configuration.
        proxies: the proxies that are trusted for a client's scheme.
    """
    storages = {is_secure: _storage(key, session, is_secure) for is_secure in (False, True)}

    def storage_of(request: web.Request) -> EncryptedCookieStorage:
        is_secure = session.secure
        if is_secure is None:
            is_secure = _is_for_other_sites(session) or proxies.by_tls(request)
        return storages[is_secure]

    return storage_of


def saver_of(storage_of: StorageOf, session_config: Session) -> Saver:
    """Return what sends the cookie when the headers of an answer are about to be sent."""
    is_partitioned = _is_partitioned(session_config)

    async def save_session(request: web.Request, response: web.StreamResponse) -> None:
        if not has_session(request):  # a program, or no endpoint was asked
            return
        session = session_of(request)
        if not session._changed or not _may_keep(request, session):
            return
        storage = storage_of(request)
        await storage.save_session(request, response, session)
        # aiohttp turned `response.cookies` into headers before it sent this signal.
        text = response.cookies[storage.cookie_name].OutputString()
        # Not a value that `http.cookies` knows before Python 3.14.
        response.headers.add("Set-Cookie", f"{text}; Partitioned" if is_partitioned else text)

    return save_session


def cookie_name(key: bytes, *, is_secure: bool) -> str:
    """Return the default name of the cookie.

    Cookies do not depend on the port, so hubs on one host would replace each other's cookie if they
    had one name. Hubs with the same secret share it.

    Browsers accept a `__Host-` cookie from this host only, and by HTTPS only (RFC 6265bis).
    """
    name = f"{NAME}-{hashlib.sha256(key).hexdigest()[:8]}"
    return f"__Host-{name}" if is_secure else name


def session_of(request: web.Request) -> CookieSession:
    """Return the session of a request. Changes are stored until the headers are sent.

    A request without any cookie has none until somebody asks: most programs never need one.
    """
    session = request.get(SESSION)
    if session is None:
        max_age = request.app[STORAGE_OF](request).max_age
        session = request[SESSION] = CookieSession(None, data=None, new=True, max_age=max_age)
        begin_again(session)
    return session


def has_session(request: web.Request) -> bool:
    """Return whether a request has a session, or is to have one."""
    return SESSION in request or "Origin" in request.headers or _IS_WANTED in request


def begin_again(session: CookieSession) -> None:
    """Empty a session, and give it another id."""
    session.invalidate()
    session.update(id=secrets.token_urlsafe(16), born=int(wall_clock()))


def cookie_of(request: web.Request) -> str:
    """Return the name of the session's cookie."""
    return request.app[STORAGE_OF](request).cookie_name


def keep_session(request: web.Request) -> None:
    """Send the cookie whatever the client looks like: a hook reads the session."""
    request[_IS_WANTED] = True


def _may_keep(request: web.Request, session: CookieSession) -> bool:
    """Return whether a client is sent its cookie.

    A program sends neither `Origin` nor `Cookie`, and would drop it. A browser gets it with the
    first request that has an `Origin`: a WebSocket, or a write.
    """
    if request.method == "OPTIONS":  # a browser asks before a request, and keeps no cookie
        return False
    if "Origin" in request.headers or "Cookie" in request.headers or _IS_WANTED in request:
        return True
    return not session.new or session._mapping.keys() != _FRESH


def _is_for_other_sites(session: Session) -> bool:
    return session.samesite == "none" or _is_partitioned(session)


def _is_partitioned(session: Session) -> bool:
    if session.partitioned is None:  # browsers increasingly drop other cookies of embedded pages
        return session.samesite == "none"
    return session.partitioned


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


class _Storage(EncryptedCookieStorage):
    def load_cookie(self, request: web.Request) -> str | None:
        """Ignore a cookie that is not ASCII: Fernet would fail instead of refusing it."""
        cookie = super().load_cookie(request)
        return cookie if cookie is None or cookie.isascii() else None
