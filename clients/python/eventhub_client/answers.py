"""Answers: what an HTTP answer says, as an exception if it is not what was asked for."""

import json
from typing import Any

from eventhub_client.errors import (
    EventHubError,
    NotFoundError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
    error_of,
)

_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
"""Statuses of proxies, and of hubs, after which the same request may succeed."""


def error_in(status: int, body: bytes) -> EventHubError:
    """Return the error of an answer whose status is not a success.

    Args:
        status: of the answer.
        body: the error object of a hub, or anything that something between has sent.
    """
    try:
        sent: Any = json.loads(body)
        return error_of(dict(sent["_error"]))
    except (ValueError, TypeError, KeyError):
        text = f"the answer has the status {status}, and is not of an EventHub"
    if 300 <= status < 400:
        text = f"{text}: it leads elsewhere; use the URL to which it leads"
    if status in _TEMPORARY:
        return UnavailableError("unavailable", text)
    if status == 404:
        return NotFoundError("unknown_path", text)
    if status == 401:
        return UnauthorizedError("unauthorized", text)
    return RefusedError("bad_request", text)
