"""Audit: a log line for each request that was refused for who sent it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from aiohttp import web

from eventhub.errors import EventHubError
from eventhub.identity.proxies import MAX_TEXT, Proxies, client_of
from eventhub.logs import limited

logger = structlog.get_logger(__name__)

_CODES: Final = ("unauthorized", "forbidden")


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
    facts = {"endpoint": endpoint[:MAX_TEXT], "detail": error.message[:MAX_TEXT]}
    if (origin := request.headers.get("Origin")) is not None:
        facts["origin"] = origin[:MAX_TEXT]
    by = client_of(request, proxies)
    limited.warning("access_refused", by=by, reason=error.code, **facts)


def note_token_refusal(by: str, error: EventHubError, endpoint: str) -> None:
    """Log that a token was refused which a client sent over an open connection.

    Args:
        by: the address of the client.
        error: why.
        endpoint: its name.
    """
    facts = {"endpoint": endpoint[:MAX_TEXT], "detail": error.message[:MAX_TEXT]}
    limited.warning("access_refused", by=by, reason=error.code, **facts)


def note_login(
    request: web.Request, user: str, outcome: str, proxies: Proxies, reason: str = "", **facts: str
) -> None:
    """Log that a user `logged_in` or `logged_out`, or that a login as this user failed.

    Args:
        request: how it was tried.
        user: the account; empty if there is none of that name, which may be a mistyped password.
        outcome: `logged_in`, `logged_out` or `login_failed`.
        proxies: the proxies that are trusted for a client's address.
        reason: a word that says why it failed; empty if the name or the password is wrong.
        facts: further keys of the line.
    """
    by = client_of(request, proxies)
    if outcome == "login_failed":
        limited.warning(outcome, by=by, reason=reason, user=user, path=request.path, **facts)
    else:
        logger.info(outcome, by=by, user=user, path=request.path)


def note_cookie(request: web.Request, proxies: Proxies) -> None:
    """Log a session cookie that is forged, expired or made with another key: `cookie_refused`."""
    limited.warning("cookie_refused", by=client_of(request, proxies), path=request.path[:MAX_TEXT])
