"""Rows: a table over plain HTTP. GET returns the rows of a filter; other methods send messages."""

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from eventhub.delivery.frames import Form
from eventhub.delivery.replay import RowFormat
from eventhub.delivery.view import View
from eventhub.errors import EventHubError, Rejected
from eventhub.event import POSITION_HEADER
from eventhub.gateway import refusal
from eventhub.gateway.changes import Changes
from eventhub.gateway.conditional import precondition_of
from eventhub.gateway.controls import FORMATS, Surface, check_honoured, check_writer, checked_choice
from eventhub.gateway.disconnection import while_connected
from eventhub.gateway.route import Route, Visit, answer
from eventhub.identity.expiry import while_valid
from eventhub.snapshots import Render


async def get(route: Route, request: web.Request, changes: Changes) -> web.StreamResponse:
    """Answer with the current rows of the query, or with what has changed since a position.

    Both include every write that was answered before.
    """
    visit = await route.admit(request)
    if visit.control("_since") is not None:
        return await changes.get(route, request, visit, _headers(route, request))
    view = route.view(visit, Form.BARE)
    check_honoured(visit.asked, Surface.ROWS)
    if view.history:
        raise Rejected("bad_request", "to read the history, add _since=earliest", column="_replay")
    encoding = _format(visit)(view.query.columns)
    async with while_connected(request), while_valid(visit.expires_at):
        return await _rows(route, request, view, encoding, route.client(request, visit))


async def _rows(
    route: Route, request: web.Request, view: View, encoding: "Encoding", client: str
) -> web.StreamResponse:
    head = (await route.channel.bounds.read()).last
    row_format = RowFormat(encoding.content_type, encoding.render, sequenced=False)
    async with route.channel.replays.open(view, head, row_format=row_format, client=client) as past:
        response = web.StreamResponse(headers=_headers(route, request))
        response.content_type = encoding.content_type
        response.charset = "utf-8"
        response.headers[POSITION_HEADER] = str(view.position(past.sequence))
        await response.prepare(request)
        if request.method == "HEAD":
            await response.write_eof()
            return response
        await response.write(encoding.before)
        too_many = encoding.cut
        async for part in past.parts():
            await response.write(part[too_many:])
            too_many = 0
        await response.write_eof(encoding.after)
    return response


async def write(route: Route, request: web.Request) -> web.StreamResponse:
    """Store the messages of the body; answer one with its receipt, an array with an array."""
    visit = await route.admit(request)
    if request.method != "DELETE" or request.body_exists:  # otherwise the URL is the message
        check_writer(visit.asked)
    precondition = precondition_of(request)
    columns = route.endpoint.channel.columns
    async with route.shared.bodies.messages(request, columns, route.client(request, visit)) as body:
        if body.is_array and (precondition or "Idempotency-Key" in request.headers):
            text = (
                "Idempotency-Key and conditions in headers apply to a single message:"
                " put _key and _if_seq into each message of an array"
            )
            raise Rejected("bad_control", text)
        messages = [_with_key(message, request) for message in body.messages]
        writing = route.ingest.write(
            messages, visit.sender, method=request.method, precondition=precondition
        )
        outcomes = [outcome async for outcome in writing]
    if body.is_array:
        return _json([answer(each) for each in outcomes], 200, route, request)
    first = outcomes[0]
    if isinstance(first, EventHubError):
        return _refused(first, route, request)
    status = 201 if _method(messages[0], request) == "POST" and not first.duplicate else 200
    return _json(answer(first), status, route, request)


def _with_key(message: Any, request: web.Request) -> Any:
    """Return a message with the `Idempotency-Key` of the request as its `_key`."""
    if isinstance(message, dict) and "Idempotency-Key" in request.headers:
        return {**message, "_key": request.headers["Idempotency-Key"]}
    return message


def refused(error: EventHubError, route: Route, request: web.Request) -> web.Response:
    """Answer with an error object, and count the request as refused."""
    refusal.count(error, request)
    return _refused(error, route, request)


def _refused(error: EventHubError, route: Route, request: web.Request) -> web.Response:
    return refusal.answer(error, _headers(route, request))


def _headers(route: Route, request: web.Request) -> dict[str, str]:
    return {"Cache-Control": "no-store", **route.endpoint.config.headers, **route.cors(request)}


def _json(body: Any, status: int, route: Route, request: web.Request) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers=_headers(route, request),
    )


def _method(message: Any, request: web.Request) -> str:
    return str(message.get("_method", request.method)).upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How rows become the body of an answer."""

    content_type: str
    before: bytes = b""
    render: Render
    cut: int = 0
    """Bytes to leave out of the first row: the separator between it and none."""
    after: bytes = b""


def _format(visit: Visit) -> Callable[[tuple[str, ...]], Encoding]:
    return _ENCODINGS[checked_choice("_format", visit.control("_format"), FORMATS)]


_SEPARATOR = b",\n"


def _json_array(_columns: tuple[str, ...]) -> Encoding:
    return Encoding(
        content_type="application/json",
        before=b"[",
        render=lambda rows: _SEPARATOR + _SEPARATOR.join(rows),
        cut=len(_SEPARATOR),
        after=b"]",
    )


def _ndjson(_columns: tuple[str, ...]) -> Encoding:
    return Encoding(
        content_type="application/x-ndjson", render=lambda rows: b"\n".join([*rows, b""])
    )


def _csv(columns: tuple[str, ...]) -> Encoding:
    """RFC 4180, with a header line; NULL is empty."""

    def render(rows: list[bytes]) -> bytes:
        decoded = map(_RAW_DECODER.decode, rows)
        return _csv_lines([_csv_value(row[name]) for name in columns] for row in decoded)

    return Encoding(content_type="text/csv", before=_csv_lines([columns]), render=render)


def _csv_value(value: msgspec.Raw) -> str | None:
    """Return text as it is, and other values as their JSON: a number keeps all of its digits."""
    text = bytes(value)
    if text.startswith(b'"'):
        found: str = msgspec.json.decode(text)
        return found
    return None if text == b"null" else text.decode()


_RAW_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _csv_lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


_ENCODINGS = {"json": _json_array, "ndjson": _ndjson, "csv": _csv}
