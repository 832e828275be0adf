"""Connection list: `/-/connections`: who is connected to this gateway, and how far behind.

It is for operators. A gateway knows its own connections only; polls are not among them.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from eventhub.config import Server
from eventhub.errors import Close, Rejected
from eventhub.gateway.live import Live, Session
from eventhub.gateway.operators import for_operators
from eventhub.gateway.subscription import OpenReading
from eventhub.identity.audit import trail_of
from eventhub.identity.proxies import Proxies, client_of

PATH: Final = "/-/connections"
CONDITIONS: Final = ("id", "endpoint", "user", "address")
"""Arguments of the URL, each the value of that key."""
SLICE: Final = 100
"""Connections that are described in one turn of the event loop."""


def add_route(app: web.Application, server: Server, live: Live, proxies: Proxies) -> None:
    """Give an application the list.

    Args:
        app: not yet started.
        server: says who is an operator.
        live: the connections.
        proxies: the proxies that are trusted for a client's address.
    """

    async def answer(request: web.Request) -> list[dict[str, Any]]:
        found = await _matching(live, _conditions(request))
        if request.method == "DELETE":
            found = await _disconnected(request, live, found, proxies)
        return [entry for _, entry in found]

    handler = for_operators(server, proxies, answer)
    app.router.add_get(PATH, handler)
    app.router.add_delete(PATH, handler)


def _conditions(request: web.Request) -> Mapping[str, str]:
    for name in request.query:
        if name not in CONDITIONS:
            raise Rejected("bad_request", f"{name!r} is none of {', '.join(CONDITIONS)}")
    if request.method == "DELETE" and not request.query:
        names = ", ".join(CONDITIONS)
        raise Rejected("bad_request", f"say which connections to close, by any of {names}")
    return request.query


_Entries = list[tuple[Session, dict[str, Any]]]


async def _matching(live: Live, conditions: Mapping[str, str]) -> _Entries:
    """Return the connections that meet all conditions; those that are most behind come first."""
    found: _Entries = []
    for number, session in enumerate(live.sessions):
        if number % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        for reading in session.readings:
            entry = describe(reading)
            if all(entry[name] == value for name, value in conditions.items()):
                found.append((session, entry))
    return sorted(found, key=lambda each: (-each[1]["behind"], int(each[1]["id"])))


def describe(reading: OpenReading) -> dict[str, Any]:
    """Return what operators see of a connection, or of a subscription on one."""
    user = reading.visit.handler.current_user
    return {
        "id": str(reading.number),
        "endpoint": reading.route.endpoint.name,
        "table": reading.route.channel.name,
        "user": None if user is None else user.id,
        "address": reading.address,
        "form": reading.form.value,
        "args": reading.visit.args,
        "opened": reading.opened.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "behind": reading.behind,
    }


async def _disconnected(
    request: web.Request, live: Live, found: _Entries, proxies: Proxies
) -> _Entries:
    """Close connections once the audit trail has it; return those that were still open."""
    await trail_of(request).record(
        "disconnected",
        target="connections",
        address=client_of(request, proxies),
        count=len(found),
        detail=dict(request.query),
    )
    closed = live.dismiss((session for session, _ in found), Close.RESTART)
    return [each for each in found if each[0] in closed]
