"""Audit: a log line for each request that was refused for who sent it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from eventhub.errors import EventHubError
from eventhub.identity.proxies import MAX_TEXT, Proxies, client_of
from eventhub.logs import limited

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


def note_cookie(request: web.Request, proxies: Proxies) -> None:
    """Log a session cookie that is forged, expired or made with another key: `cookie_refused`."""
    limited.warning("cookie_refused", by=client_of(request, proxies), path=request.path[:MAX_TEXT])
