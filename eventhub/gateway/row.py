"""Row: one row of an endpoint as a resource of its own, at `PATH/ID`.

Its entity tag is the sequence of its last event. So a reader gets it again only after it changed,
and a writer can name the state that its change is for (RFC 9110 section 13).
"""

from dataclasses import replace
from typing import Final

import msgspec
from aiohttp import web

from eventhub.delivery.frames import Form
from eventhub.delivery.replay import RowFormat
from eventhub.delivery.view import View
from eventhub.errors import Rejected
from eventhub.event import POSITION_HEADER
from eventhub.gateway import rows
from eventhub.gateway.conditional import precondition_of
from eventhub.gateway.controls import Surface, check_honoured
from eventhub.gateway.disconnection import while_connected
from eventhub.gateway.route import ROW_ID, Route
from eventhub.identity.expiry import while_valid
from eventhub.ingest.command import Precondition
from eventhub.snapshots import RowHead

METHODS: Final = "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"
_LINES: Final = RowFormat("row", lambda rows: b"\n".join([*rows, b""]), RowHead.SEQUENCED)
_DECODER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_HEADERS: Final = {"Content-Type": "application/json; charset=utf-8"}
_CACHE: Final = "private, no-cache"
"""A browser may keep the row, but asks each time whether it has changed, or may still be read."""


async def get(route: Route, request: web.Request) -> web.StreamResponse:
    """Answer with the row, or with 304 if the client has it."""
    visit = await route.admit(request)
    check_honoured(visit.asked, Surface.ROW)
    precondition = precondition_of(request)
    view = route.view(visit, Form.BARE)
    view = view.asking(replace(view.query, sort=(), caseless=frozenset(), limit=None, offset=0))
    view = await rows.shape(route, visit, view, "json")
    async with while_connected(request), while_valid(visit.validity):
        members, position = await _read(route, view, route.client(request, visit))
    if not members:
        raise Rejected("not_found", f"no row with id {request.match_info[ROW_ID]!r}")
    del members["_method"]
    tag = bytes(members.pop("_seq")).decode()
    headers = rows.headers_of(route, request, _CACHE)
    headers |= {POSITION_HEADER: position, "ETag": f'"{tag}"'}
    if precondition is not None and _has_it(precondition, int(tag)):
        return web.Response(status=304, headers=headers)
    return web.Response(body=msgspec.json.encode(members), headers=headers | _HEADERS)


async def _read(route: Route, view: View, client: str) -> tuple[dict[str, msgspec.Raw], str]:
    """Return the members of the row, none if there is no row, and the position they are as of."""
    head = await rows.head_of(route, view)
    async with route.channel.replays.open(view, head, row_format=_LINES, client=client) as past:
        line = b"".join([part async for part in past.parts()])
        members = _DECODER.decode(line) if line else {}
        return members, str(view.position(past.sequence))


def _has_it(precondition: Precondition, sequence: int) -> bool:
    """Return whether the client has the row already.

    Raises:
        Rejected: `conflict`: `If-Match` names other states of the row.
    """
    if not Precondition(match=precondition.match).holds(sequence, exists=True):
        raise Rejected("conflict", "the row has changed: If-Match names another state of it")
    return not precondition.holds(sequence, exists=True)
