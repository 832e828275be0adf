"""Audit: who was refused, or logged in or out: a log line, and an entry of the audit trail."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog
from aiohttp import web

from eventhub.errors import EventHubError
from eventhub.identity.proxies import MAX_TEXT, Proxies, client_of
from eventhub.ingest.trail import Trail
from eventhub.logs import limited

logger = structlog.get_logger(__name__)

USER: Final = web.RequestKey("user", str)
"""The id of the user of a request, once it is known."""
TRAIL: Final = web.AppKey("trail", Trail)
"""The audit trail of the hub that an application belongs to."""
_CODES: Final = ("unauthorized", "forbidden")
_NONE: Final = Trail()


def trail_of(request: web.Request) -> Trail:
    """Return where the audit trail is kept; an application without one keeps none."""
    return request.app.get(TRAIL, _NONE)


@contextmanager
def audited(request: web.Request, endpoint: str, proxies: Proxies) -> Iterator[None]:
    """Log the request if the block refuses its user, or the page that it comes from."""
    try:
        yield
    except EventHubError as error:
        if error.code in _CODES:
            note_refusal(request, error, endpoint, proxies)
        raise


def note_refusal(
    request: web.Request, error: EventHubError, endpoint: str, proxies: Proxies
) -> None:
    """Log a request that was refused: `access_refused`."""
    origin = request.headers.get("Origin")
    facts = {} if origin is None else {"origin": origin[:MAX_TEXT]}
    by, trail = client_of(request, proxies), trail_of(request)
    _note(by, error, endpoint, trail, user=request.get(USER), **facts)


def note_token_refusal(by: str, error: EventHubError, endpoint: str, trail: Trail) -> None:
    """Log that a token was refused which a client sent over an open connection.

    Args:
        by: the address of the client.
        error: why.
        endpoint: its name.
        trail: of the hub.
    """
    _note(by, error, endpoint, trail)


def _note(
    by: str,
    error: EventHubError,
    endpoint: str,
    trail: Trail,
    user: str | None = None,
    **facts: str,
) -> None:
    endpoint, code, detail = endpoint[:MAX_TEXT], error.code, error.message[:MAX_TEXT]
    limited.warning("access_refused", by=by, reason=code, endpoint=endpoint, detail=detail, **facts)
    known = {"reason": detail, **facts}
    trail.limit("access_refused", by=by, reason=code, target=endpoint, user=user, detail=known)


async def record_login(request: web.Request, user: str, proxies: Proxies) -> None:
    """Log that a user `logged_in`, once the audit trail has it.

    Args:
        request: how it was done.
        user: who.
        proxies: the proxies that are trusted for a client's address.

    Raises:
        Unavailable: the audit trail cannot be written: nobody may log in now.
    """
    by = client_of(request, proxies)
    await trail_of(request).record("logged_in", user=user, address=by, target=request.path)
    logger.info("logged_in", by=by, user=user, path=request.path)


def note_logout(request: web.Request, user: str, proxies: Proxies) -> None:
    """Log that a user `logged_out`."""
    by = client_of(request, proxies)
    logger.info("logged_out", by=by, user=user, path=request.path)
    trail_of(request).note("logged_out", user=user, address=by, target=request.path)


def note_failed_login(
    request: web.Request, user: str, proxies: Proxies, reason: str = "", **facts: str
) -> None:
    """Log that a login failed: `login_failed`.

    Args:
        request: how it was tried.
        user: the account; empty if there is none of that name, which may be a mistyped password.
        proxies: the proxies that are trusted for a client's address.
        reason: a word that says why it failed; empty if the name or the password is wrong.
        facts: further keys of the line.
    """
    by, path = client_of(request, proxies), request.path
    limited.warning("login_failed", by=by, reason=reason, user=user, path=path, **facts)
    outcome, detail = reason or "unauthorized", facts or None
    trail_of(request).limit(
        "login_failed", by=by, reason=outcome, user=user or None, target=path, detail=detail
    )


def note_cookie(request: web.Request, proxies: Proxies) -> None:
    """Log a session cookie that is forged, expired or made with another key: `cookie_refused`."""
    by, path = client_of(request, proxies), request.path[:MAX_TEXT]
    limited.warning("cookie_refused", by=by, path=path)
    trail_of(request).limit("cookie_refused", by=by, reason="unauthorized", target=path)


def note_statement(request: web.Request, handler: str, proxies: Proxies, **facts: Any) -> None:
    """Note a SQL statement in the audit trail: `queried`.

    Args:
        request: that sent it.
        handler: the SQLHandler.
        proxies: the proxies that are trusted for a client's address.
        facts: `outcome`, and `detail` with the statement.
    """
    address, user = client_of(request, proxies), request.get(USER)
    trail_of(request).limit_statements(
        "queried",
        by=address if user is None else f"user {user}",
        reason=handler,
        address=address,
        user=user,
        target=handler,
        **facts,
    )
