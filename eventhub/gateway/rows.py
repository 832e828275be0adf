"""Rows: a table over plain HTTP. GET returns the rows of a filter; other methods send messages."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from eventhub.delivery.frames import Form
from eventhub.delivery.past import sequence_as_of
from eventhub.delivery.view import View
from eventhub.errors import EventHubError, Rejected
from eventhub.event import POSITION_HEADER, Position
from eventhub.gateway import history, refusal
from eventhub.gateway.changes import Changes
from eventhub.gateway.conditional import precondition_of
from eventhub.gateway.controls import (
    CSVS,
    FORMATS,
    JSON_FORMATS,
    Surface,
    check_honoured,
    check_options,
    check_writer,
    checked_choice,
)
from eventhub.gateway.disconnection import while_connected
from eventhub.gateway.encodings import TEXT_FORMATS, accepted_format, ndjson
from eventhub.gateway.route import ROW_ID, Route, Visit
from eventhub.gateway.row_body import BinaryBody, Body, TextBody
from eventhub.gateway.table_page import PAGE_HEADERS, TablePage
from eventhub.identity.expiry import while_valid
from eventhub.ingest.receipts import Receipt
from eventhub.ingest.run import Outcome
from eventhub.ingest.sending import Sent

JSON_PATCH = "application/json-patch+json"
"""Its array would be taken for messages (RFC 6902)."""


async def get(route: Route, request: web.Request, changes: Changes) -> web.StreamResponse:
    """Answer with the current rows of the query, or with what has changed since a position.

    Both include every write that was answered before.
    """
    visit = await route.admit(request)
    if visit.control("_history") is not None:
        return await history.get(route, request, visit, headers_of(route, request))
    if visit.control("_since") is not None:
        return await changes.get(route, request, visit, headers_of(route, request))
    view = route.view(visit, Form.BARE)
    check_honoured(visit.asked, Surface.ROWS)
    if view.history:
        raise Rejected("bad_request", "to read the history, add _since=earliest", column="_replay")
    name = _format_of(visit, request)
    check_options(visit.asked, name)
    view = await shape(route, visit, view, name)
    client = route.client(request, visit)
    async with while_connected(request), while_valid(visit.validity):
        if name == "html":
            return await _page(route, request, visit, view, client)
        body = body_of(route, view, variant_of(visit, name))
        return await _rows(route, request, view, body, client)


def _format_of(visit: Visit, request: web.Request) -> str:
    """Return the format of an answer: of the URL, of `Accept`, or the endpoint's default.

    A URL with an option of some formats means one of these, whatever a browser accepts.
    """
    chosen = visit.control("_format")
    if not {"_format", "_bigint", "_csv"} & visit.asked:
        chosen = accepted_format(request.headers.get("Accept", "")) or chosen
    return checked_choice("_format", chosen, FORMATS)


async def shape(route: Route, visit: Visit, view: View, name: str) -> View:
    """Return a view as a format shows it, of the past state that is asked for, if one is.

    Raises:
        Rejected: `bad_position`.
    """
    as_of = visit.control("_as_of")
    if as_of is not None:
        bounds = await route.channel.bounds.read()
        view = view.after(await sequence_as_of(as_of, route.channel.stream, bounds))
    return view if name in JSON_FORMATS else view.asking(view.query.with_numbers())


def variant_of(visit: Visit, name: str) -> str:
    """Return which kind of a format is asked for: CSV that is safe in a spreadsheet is one.

    Raises:
        Rejected: `bad_request`.
    """
    csv = checked_choice("_csv", visit.control("_csv"), CSVS)
    return "safe csv" if (name, csv) == ("csv", "safe") else name


def body_of(route: Route, view: View, variant: str) -> Body:
    """Return what writes the rows of a view in a format."""
    columns = view.query.columns
    if variant in TEXT_FORMATS:
        return TextBody(TEXT_FORMATS[variant](columns))
    table = [route.endpoint.channel.columns[column] for column in columns]
    recoder = route.shared.recoders[variant](table)
    return BinaryBody(variant, recoder, route.endpoint.channel.name, route.shared.recoding)


async def _rows(
    route: Route, request: web.Request, view: View, body: Body, client: str
) -> web.StreamResponse:
    head = await head_of(route, view)
    async with route.channel.replays.open(
        view, head, row_format=body.row_format, client=client
    ) as past:
        headers = headers_of(route, request) | body.headers
        headers[POSITION_HEADER] = str(view.position(past.sequence))
        return await route.shared.compression.send(request, body.parts(past.parts()), headers)


async def head_of(route: Route, view: View) -> int:
    """Return the sequence that the rows must include: the last one, or that of the past state."""
    if view.query.as_of is not None:
        return view.query.as_of
    return (await route.channel.bounds.read()).last


async def _page(
    route: Route, request: web.Request, visit: Visit, view: View, client: str
) -> web.StreamResponse:
    """Answer with some of the rows as a page, with its filter form."""
    page = TablePage(route.endpoint, view.query, request.rel_url.raw_query_string)
    head = await head_of(route, view)
    view = view.asking(page.query)
    row_format = TextBody(ndjson(view.query.columns)).row_format
    async with route.channel.replays.open(view, head, row_format=row_format, client=client) as past:
        lines = b"".join([part async for part in past.parts()])
        position = str(view.position(past.sequence))
    headers = {**PAGE_HEADERS, **headers_of(route, request), POSITION_HEADER: position}
    headers["Content-Type"] = "text/html; charset=utf-8"
    text = await asyncio.to_thread(page.render, lines)
    return await route.shared.compression.send_whole(request, text, headers)


async def write(route: Route, request: web.Request) -> web.StreamResponse:
    """Store the messages of the body; answer one with its receipt, an array with an array."""
    visit = await route.admit(request)
    if request.content_type == JSON_PATCH:
        text = "JSON Patch is not supported: send the columns to change, with their values"
        raise Rejected("bad_type", text)
    if request.method != "DELETE" or request.body_exists:  # otherwise the URL is the message
        check_writer(visit.asked)
    precondition = precondition_of(request)
    columns = route.endpoint.channel.columns
    budget = route.budget(request, visit)
    budget.check()
    with route.shared.bodies.counted(budget.client) as reading:
        body = await reading.messages(request, columns)
        budget.charge(len(body.messages), request.content.total_bytes)
        if body.is_array and ROW_ID in request.match_info:
            raise Rejected("bad_body", "the path names one row: send one message, not an array")
        if body.is_array and (precondition or "Idempotency-Key" in request.headers):
            text = (
                "Idempotency-Key and conditions in headers apply to a single message:"
                " put _key and _if_seq into each message of an array"
            )
            raise Rejected("bad_control", text)
        upsert = {"_upsert": visit.control("_upsert") or "true"} if "_upsert" in visit.asked else {}
        messages = [_of_request(message, request, upsert) for message in body.messages]
        method = "PUT" if request.method == "PATCH" else request.method
        writing = route.ingest.write(
            messages,
            visit.sender(budget.spend, budget.client),
            method=method,
            precondition=precondition,
        )
        paced = budget.paced(writing) if body.is_array else writing
        outcomes = [outcome async for run in paced for outcome in run]
    position = _position_of(outcomes, route)
    if body.is_array:
        return _json([_answer(each) for each in outcomes], 200, position, route, request)
    first = outcomes[0]
    if isinstance(first, EventHubError):
        return _refused(first, route, request)
    return _json(_answer(first), _status(first, messages[0], request), position, route, request)


def _of_request(message: Any, request: web.Request, upsert: dict[str, str]) -> Any:
    """Return a message with what its request says: `_upsert`, its `Idempotency-Key`, and an `id`.

    Raises:
        Rejected: `bad_id`: the message is of another row than the path.
    """
    if not isinstance(message, dict):
        return message
    message = {**upsert, **message} if upsert else message
    if "Idempotency-Key" in request.headers:
        message = {**message, "_key": request.headers["Idempotency-Key"]}
    row_id = request.match_info.get(ROW_ID)
    if row_id is None:
        return message
    if str(message.get("id", row_id)) != row_id:
        raise Rejected("bad_id", "the path names another row than the message: leave out id")
    return {**message, "id": row_id}


def refused(error: EventHubError, route: Route, request: web.Request) -> web.Response:
    """Answer with an error object, and count the request as refused."""
    refusal.count(error, request)
    return _refused(error, route, request)


def _refused(error: EventHubError, route: Route, request: web.Request) -> web.Response:
    return refusal.answer(error, headers_of(route, request))


def headers_of(route: Route, request: web.Request, cache: str = "no-store") -> dict[str, str]:
    """Return the headers of an answer: those of its endpoint, and who else may read or keep it."""
    cors = route.cors(request)
    vary = {"Vary": ", ".join(["Accept, Accept-Encoding", *filter(None, [cors.get("Vary")])])}
    return {"Cache-Control": cache, **cors, **vary, **route.endpoint.config.headers}


def _position_of(outcomes: Sequence[Outcome], route: Route) -> dict[str, str]:
    """Return the header with the position of the last event that was stored, if one was."""
    stored = [each.sequence for each in outcomes if isinstance(each, Receipt)]
    if not stored:
        return {}
    return {POSITION_HEADER: str(Position(route.channel.stream.epoch, max(stored)))}


def _json(
    body: Any, status: int, position: dict[str, str], route: Route, request: web.Request
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers={**headers_of(route, request), **position},
    )


def _status(answered: Receipt | Sent, message: Any, request: web.Request) -> int:
    """Return the status of an answer: a row was created, changed, or a message only sent."""
    if isinstance(answered, Sent):
        return 202
    created = answered.created
    if created is None:
        created = str(message.get("_method", request.method)).upper() == "POST"
    return 201 if created and not answered.duplicate else 200


def _answer(outcome: Outcome) -> Mapping[str, Any]:
    """Return the body that answers a message over HTTP."""
    fields = outcome.as_dict()
    return {"_error": fields} if isinstance(outcome, EventHubError) else fields
