"""Handshake: what a request must contain to become a WebSocket (RFC 6455 section 4.2.1).

It is checked here because the HTTP library would answer mistakes in its own form.
"""

import re

from aiohttp import HttpVersion11, web

from eventhub.delivery.frames import FORMS
from eventhub.errors import Rejected
from eventhub.identity.proxies import peer_of
from eventhub.logs import limited

_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SHOWN = 100
"""Characters of offered subprotocols in a log line."""


def wants_websocket(request: web.BaseRequest) -> bool:
    """Return whether a GET is meant to open a WebSocket, correct or not."""
    upgrade = request.headers.get("Upgrade", "").strip().lower()
    return upgrade == "websocket" or "Sec-WebSocket-Key" in request.headers


def offers_login(request: web.BaseRequest) -> bool:
    """Return whether a client speaks a subprotocol in which it may log in by a frame."""
    return not FORMS.keys().isdisjoint(_list(request, "Sec-WebSocket-Protocol", lower=False))


def check_handshake(request: web.BaseRequest) -> None:
    """Check everything that the HTTP library would.

    Raises:
        Rejected: `bad_request`, or `upgrade_required` for another version.
    """
    headers = request.headers
    if request.version < HttpVersion11:
        raise Rejected("bad_request", "a WebSocket needs HTTP/1.1")
    if headers.get("Upgrade", "").strip().lower() != "websocket" or "upgrade" not in _list(
        request, "Connection"
    ):
        text = "a WebSocket needs `Upgrade: websocket` and `Connection: upgrade`"
        raise Rejected("bad_request", f"{text}: a proxy in front of the hub must pass both on")
    if headers.getall("Sec-WebSocket-Version", []) != ["13"]:
        raise Rejected("upgrade_required", "Sec-WebSocket-Version must be 13")
    keys = headers.getall("Sec-WebSocket-Key", [])
    if len(keys) != 1 or not _KEY.fullmatch(keys[0].strip()):
        raise Rejected("bad_request", "Sec-WebSocket-Key must be 16 bytes in base64, once")
    _check_subprotocols(request)


def _check_subprotocols(request: web.BaseRequest) -> None:
    """Check the list; an unknown subprotocol is no mistake, but worth a log line."""
    if len(request.headers.getall("Sec-WebSocket-Protocol", [])) == 0:
        return
    offered = _list(request, "Sec-WebSocket-Protocol", lower=False)
    if not all(_TOKEN.fullmatch(name) for name in offered):
        raise Rejected("bad_request", "Sec-WebSocket-Protocol must be a list of names")
    if offered and FORMS.keys().isdisjoint(offered):
        names = ", ".join(offered)[:_SHOWN]
        limited.warning("subprotocol_unknown", by=peer_of(request), offered=names)


def _list(request: web.BaseRequest, name: str, *, lower: bool = True) -> list[str]:
    whole = ",".join(request.headers.getall(name, []))
    parts = [part.strip() for part in (whole.lower() if lower else whole).split(",")]
    return [part for part in parts if part]
