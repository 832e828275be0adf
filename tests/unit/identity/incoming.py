"""Requests as the server makes them, without a server."""

import asyncio
import ssl
from collections.abc import Mapping

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict


def request(
    *,
    peer: object = ("127.0.0.1", 1),
    path: str = "/chat",
    by_tls: bool = False,
    headers: Mapping[str, str] | CIMultiDict[str] | None = None,
) -> web.Request:
    """Return a GET from an address, given as the socket names it."""
    context = ssl.create_default_context() if by_tls else None
    return make_mocked_request(
        "GET",
        path,
        headers,
        transport=asyncio.Transport({"peername": peer, "sslcontext": context}),
        sslcontext=context,
    )
