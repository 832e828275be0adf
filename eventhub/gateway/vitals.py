"""Vitals: `/-/vitals`: how this process is and was, and how the other processes of the hub are.

It is for operators. However many of them look, the answer is made once a second.
"""

import time
from typing import Any, Final

import msgspec
from aiohttp import web

from eventhub.config import Server
from eventhub.gateway.admin import Health
from eventhub.gateway.operators import for_operators
from eventhub.identity.proxies import Proxies
from eventhub.processes import Processes

PATH: Final = "/-/vitals"
SHARED_SECONDS: Final = 1.0
"""For which all who ask get the same answer."""


def add_route(
    app: web.Application, server: Server, processes: Processes, health: Health, proxies: Proxies
) -> None:
    """Give an application the vitals.

    Args:
        app: not yet started.
        server: says who is an operator.
        processes: of the hub.
        health: how this process is, in words.
        proxies: the proxies that are trusted for the host of a request.
    """
    made, made_at = msgspec.Raw(b"null"), float("-inf")

    async def answer(_request: web.Request) -> msgspec.Raw:
        nonlocal made, made_at
        if (now := time.monotonic()) >= made_at + SHARED_SECONDS:
            problems, notes = health()
            found: dict[str, Any] = {"problems": problems, "notes": notes}
            found |= processes.vitals.report()
            found["processes"] = processes.report()
            made, made_at = msgspec.Raw(msgspec.json.encode(found)), now
        return made

    app.router.add_get(PATH, for_operators(server, proxies, answer))
