"""History: the versions of one row, as the answer to one GET."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final

import msgspec
from aiohttp import web

from eventhub.delivery.frames import Form
from eventhub.delivery.versions import read_versions, version_of
from eventhub.delivery.view import View
from eventhub.errors import Rejected
from eventhub.event import POSITION_HEADER, StoredEvent
from eventhub.gateway.controls import CSVS, Surface, check_honoured, check_options, checked_choice
from eventhub.gateway.disconnection import while_connected
from eventhub.gateway.encodings import TEXT_FORMATS
from eventhub.gateway.route import Route, Visit
from eventhub.gateway.row_body import TextBody
from eventhub.identity.expiry import while_valid

FORMATS: Final = ("json", "ndjson", "csv")
_HEAD: Final = ("_seq", "_time", "_method", "id", "_user", "_endpoint")
_LINE: Final = (*_HEAD, "column", "from", "to")
"""Of the CSV, which has a line for each value that changed."""


async def get(
    route: Route, request: web.Request, visit: Visit, headers: dict[str, str]
) -> web.StreamResponse:
    """Answer with the versions of a row that its reader may see, oldest first.

    They include every write that was answered before.

    Raises:
        Rejected: `bad_request`: no row is named, or several are; `bad_filter`.
        Unavailable: the tables cannot be read now; `too_many_reads`.
    """
    check_honoured(visit.asked, Surface.HISTORY)
    row_id = _row_id(visit)
    view = route.view(visit, Form.POLL)
    # A format among the endpoint's defaults is for its rows.
    asked = visit.control("_format") if "_format" in visit.asked else None
    name = checked_choice("_format", asked, FORMATS)
    check_options(visit.asked, name)
    if name == "csv":
        view = view.asking(view.query.with_numbers())
        if checked_choice("_csv", visit.control("_csv"), CSVS) == "safe":
            name = "safe csv"
    body = TextBody(TEXT_FORMATS[name](_LINE))
    head = (await route.channel.bounds.read()).last
    async with while_connected(request), while_valid(visit.expires_at):
        client = route.client(request, visit)
        pages = read_versions(route.channel.snapshots, route.channel.name, row_id, head, client)
        async with aclosing(pages):
            first = await anext(pages)  # before the status is sent: it may fail
            response = web.StreamResponse(headers=headers | body.headers)
            response.headers[POSITION_HEADER] = str(view.position(head))
            await response.prepare(request)
            if request.method != "HEAD":
                async for part in body.parts(_parts(first, pages, view, body)):
                    if part:
                        await response.write(part)
            await response.write_eof()
    return response


async def _parts(
    first: list[StoredEvent], rest: AsyncIterator[list[StoredEvent]], view: View, body: TextBody
) -> AsyncIterator[bytes]:
    """Iterate over the rendered versions, a page at a time."""
    is_csv = body.headers["Content-Type"].startswith("text/csv")
    page: list[StoredEvent] | None = first
    while page is not None:
        shown = [version for each in page if (version := version_of(each, view.query)) is not None]
        objects = [line for each in shown for line in _lines(each)] if is_csv else shown
        if objects:
            yield body.row_format.render([msgspec.json.encode(each) for each in objects])
        page = await anext(rest, None)


def _lines(version: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return an object for each value that a version changed; one if it changed none."""
    head = {name: version[name] for name in _HEAD}
    row, was = version["row"] or {}, version["was"] or {}
    names = was if version["row"] and version["was"] is not None else (row or was)
    changes = [{"column": name, "from": was.get(name), "to": row.get(name)} for name in names]
    return [{**head, **each} for each in changes or [dict.fromkeys(("column", "from", "to"))]]


def _row_id(visit: Visit) -> str:
    """Return the id of the row that is asked for, as `_id` or as a filter on `id`."""
    if visit.control("_history") not in ("", "true", "1"):
        raise Rejected("bad_request", "_history takes no value", column="_history")
    given = [*visit.args.get("_id", ()), *visit.args.get("id", ())]
    if len(given) != 1:
        text = "_history shows the versions of one row: add one id=ID"
        raise Rejected("bad_request", text, column="_history")
    return str(given[0])
