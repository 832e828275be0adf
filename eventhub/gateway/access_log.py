"""Access log: a line for each request and each connection, if `log.access` asks for it.

The line of a request is written once its answer is sent, that of a connection when it ends. It has
no query: filters are private, and tokens may be in it.
"""

import socket
import struct
import time
from contextlib import suppress
from typing import Any, Final

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from eventhub import logs
from eventhub.identity.audit import USER
from eventhub.identity.proxies import Proxies, client_of, peer_of

ENDPOINT: Final = web.RequestKey("endpoint", str)
"""The entry of `url:` that a request came to."""
_CLIENT: Final = web.RequestKey("access_client", str)
_IS_TAKEN: Final = web.RequestKey("access_is_taken", bool)
"""The request has become a connection, which has its own line."""
_MOST: Final = 200
"""Characters of a path in a line."""
_BYTES_ACKED: Final = 120
"""Offset in `struct tcp_info` of the bytes that a peer has taken (Linux 4.1, include/uapi)."""
ABNORMAL: Final = 1006
"""The code of a connection that ended without a close frame (RFC 6455 section 7.4.1)."""


class AccessLogger(AbstractAccessLogger):
    """Writes the line of each request; aiohttp calls it once the answer is sent."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """See `AbstractAccessLogger`; `time` is in seconds."""
        if logs.is_access_logged() and not request.get(_IS_TAKEN):
            facts = _facts(request)
            logs.access.info(
                "access", **facts, status=response.status, ms=_ms(time), bytes=response.body_length
            )


def note_client(request: web.BaseRequest, proxies: Proxies) -> None:
    """Note the address of a client behind a trusted proxy, for its line."""
    if logs.is_access_logged():
        request[_CLIENT] = client_of(request, proxies)  # type: ignore[arg-type]


class AccessLine:
    """The line of a connection that is open."""

    __slots__ = ("_began", "_facts")

    def __init__(self, request: web.Request) -> None:
        request[_IS_TAKEN] = True
        self._facts = _facts(request)
        self._began = time.monotonic()

    def note_user(self, user: str) -> None:
        """Name the user, who logged in on the open connection."""
        self._facts["user"] = user

    def write(self, raw: socket.socket | None, **outcome: int) -> None:
        """Write the line at the end of the connection; its socket is still open."""
        ms = _ms(time.monotonic() - self._began)
        logs.access.info("access", **self._facts, **outcome, ms=ms, bytes=_taken(raw))


def line_of(request: web.Request) -> AccessLine | None:
    """Return the line of a request that becomes a connection, if lines are written."""
    return AccessLine(request) if logs.is_access_logged() else None


def _facts(request: web.BaseRequest) -> dict[str, Any]:
    return {
        "by": request.get(_CLIENT) or peer_of(request),
        "user": request.get(USER),
        "endpoint": request.get(ENDPOINT),
        "method": request.method,
        "path": request.rel_url.raw_path[:_MOST],
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _taken(raw: socket.socket | None) -> int | None:
    """Return the bytes that a TCP peer has taken, as the kernel has counted them."""
    if raw is not None and raw.family != socket.AF_UNIX:
        with suppress(OSError, struct.error):
            info = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
            return int(struct.unpack_from("=Q", info, _BYTES_ACKED)[0])
    return None
