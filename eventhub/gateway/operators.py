"""Operators: JSON answers that are for operators only."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from eventhub.config import Server
from eventhub.errors import Rejected
from eventhub.gateway import refusal
from eventhub.gateway.admin import OPERATORS_ONLY, Admin
from eventhub.gateway.answering import HttpHandler, answered
from eventhub.identity.origin import check_origin
from eventhub.identity.proxies import Proxies

Answer = Callable[[web.Request], Awaitable[Any]]
"""Returns what is sent as JSON; its errors are sent, too."""


def for_operators(server: Server, proxies: Proxies, answer: Answer) -> HttpHandler:
    """Return a handler that answers operators, and refuses other clients and pages of other sites.

    Args:
        server: says who is an operator.
        proxies: the proxies that are trusted for the host of a request.
        answer: called for an operator.
    """
    admin = Admin(server)

    async def dispatch(request: web.Request) -> web.StreamResponse:
        if not admin.is_operator(request):
            raise Rejected("forbidden", OPERATORS_ONLY)
        check_origin(request, [], proxies)
        return web.Response(
            body=msgspec.json.encode(await answer(request)),
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    return answered("hub", dispatch, lambda error, _: refusal.answer(error))
