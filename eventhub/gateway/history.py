"""History: the versions of one row, as the answer to one GET."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final

import msgspec
from aiohttp import web

from eventhub.columns import Column, Kind
from eventhub.delivery.frames import Form
from eventhub.delivery.versions import read_versions, version_of
from eventhub.delivery.view import View
from eventhub.errors import Rejected
from eventhub.event import POSITION_HEADER, StoredEvent
from eventhub.gateway.compression import chained
from eventhub.gateway.controls import CSVS, Surface, check_honoured, check_options, checked_choice
from eventhub.gateway.disconnection import while_connected
from eventhub.gateway.encodings import TEXT_FORMATS
from eventhub.gateway.route import Route, Visit
from eventhub.gateway.row_body import BinaryBody, Body, TextBody
from eventhub.identity.expiry import while_valid

FORMATS: Final = ("json", "ndjson", "csv", "arrow", "parquet")
_OBJECTS: Final = ("json", "ndjson")
"""Formats with an object for each version; in others each value that changed has a line."""
_HEAD: Final = ("_seq", "_time", "_method", "id", "_user", "_endpoint")
_LINE: Final = (*_HEAD, "column", "from", "to")
_KINDS: Final = {"_seq": Kind.INTEGER, "_time": Kind.TIMESTAMPTZ}
"""Of the columns of a line; the others are text."""


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
    row_id = row_id_of(visit)
    view = route.view(visit, Form.POLL)
    # A format among the endpoint's defaults is for its rows.
    asked = visit.control("_format") if "_format" in visit.asked else None
    name = checked_choice("_format", asked, FORMATS)
    check_options(visit.asked, name)
    if name == "csv" and checked_choice("_csv", visit.control("_csv"), CSVS) == "safe":
        name = "safe csv"
    head = (await route.channel.bounds.read()).last
    async with while_connected(request), while_valid(visit.validity):
        client = route.client(request, visit)
        async with aclosing(parts(route, view, row_id, name, head, client)) as found:
            first = await anext(found)  # before the status is sent: it may fail
            headers |= _body(route, name).headers | {POSITION_HEADER: str(view.position(head))}
            return await route.shared.compression.send(request, chained(first, found), headers)


async def parts(
    route: Route, view: View, row_id: str, variant: str, head: int, client: str
) -> AsyncGenerator[bytes, None]:
    """Iterate over the bytes of an answer with the versions of a row.

    Args:
        route: the endpoint.
        view: whose rows they are.
        row_id: of the row.
        variant: the format: of `FORMATS`, `safe csv`, or `arrow_file`.
        head: the last sequence that counts.
        client: whose limits apply.

    Raises:
        Unavailable: as `read_versions`, before the first bytes or later.
    """
    if variant not in _OBJECTS:
        view = view.asking(view.query.with_numbers())
    body = _body(route, variant)
    pages = read_versions(route.channel.snapshots, route.channel.name, row_id, head, client)
    async with aclosing(pages):
        first = await anext(pages)
        async for part in body.parts(_rendered(first, pages, view, variant, body)):
            yield part


def _body(route: Route, variant: str) -> Body:
    if variant in TEXT_FORMATS:
        return TextBody(TEXT_FORMATS[variant](_LINE))
    columns = [Column(name, _KINDS.get(name, Kind.TEXT)) for name in _LINE]
    recoder = route.shared.recoders[variant](columns)
    return BinaryBody(variant, recoder, route.channel.name, route.shared.recoding)


async def _rendered(
    first: list[StoredEvent],
    rest: AsyncIterator[list[StoredEvent]],
    view: View,
    variant: str,
    body: Body,
) -> AsyncIterator[bytes]:
    """Iterate over the rendered versions, a page at a time."""
    page: list[StoredEvent] | None = first
    while page is not None:
        shown = [version for each in page if (version := version_of(each, view.query)) is not None]
        if variant not in _OBJECTS:
            is_typed = variant not in TEXT_FORMATS
            shown = [line for each in shown for line in _lines(each, is_typed=is_typed)]
        if shown:
            yield body.row_format.render([msgspec.json.encode(each) for each in shown])
        page = await anext(rest, None)


def _lines(version: Mapping[str, Any], *, is_typed: bool) -> list[dict[str, Any]]:
    """Return an object for each value that a version changed; one if it changed none.

    In a typed file, the values are text, because their columns have different types.
    """
    head = {name: version[name] for name in _HEAD}
    row, was = version["row"] or {}, version["was"] or {}
    names = was if version["row"] and version["was"] is not None else (row or was)
    shown = _text if is_typed else (lambda value: value)
    changes = [
        {"column": name, "from": shown(was.get(name)), "to": shown(row.get(name))} for name in names
    ]
    return [{**head, **each} for each in changes or [dict.fromkeys(("column", "from", "to"))]]


def _text(value: Any) -> str | None:
    """Return a value as in CSV: text unchanged, others as their JSON."""
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def row_id_of(visit: Visit) -> str:
    """Return the id of the row that is asked for, as `_id` or as a filter on `id`.

    Raises:
        Rejected: `bad_request`: none is, or several are.
    """
    if visit.control("_history") not in ("", "true", "1"):
        raise Rejected("bad_request", "_history takes no value", column="_history")
    given = [*visit.args.get("_id", ()), *visit.args.get("id", ())]
    if len(given) != 1:
        text = "_history shows the versions of one row: add one id=ID"
        raise Rejected("bad_request", text, column="_history")
    return str(given[0])
