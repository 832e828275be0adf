"""Rows: the table over plain HTTP: GET the rows of a filter; POST, PUT, DELETE messages."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from eventhub.errors import EventHubError, Rejected
from eventhub.gateway.connection import too_large
from eventhub.gateway.protocol import Form
from eventhub.gateway.route import Route, Visit, answer
from eventhub.ingest import parse_json
from eventhub.snapshots import Snapshot

POSITION_HEADER = "EventHub-Position"
"""Of an answer with rows: what `_since` continues from."""


async def get(route: Route, request: web.Request) -> web.StreamResponse:
    """Answer with the current rows of the query; sees every write answered before."""
    visit = await route.admit(request)
    view = route.view(visit, Form.BARE)
    if view.history:
        raise Rejected("bad_request", "history is read over a WebSocket or SSE", column="_replay")
    content_type, encode = _format(visit)
    head = (await route.stream.bounds()).last
    name = route.endpoint.channel.name
    async with route.snapshots.read(name, view.query, at_least=head) as snapshot:
        response = web.StreamResponse(headers=_headers(route, request))
        response.content_type = content_type
        response.charset = "utf-8"
        response.headers[POSITION_HEADER] = str(view.position(snapshot.sequence))
        await response.prepare(request)
        async for part in encode(snapshot, view.query.columns):
            await response.write(part)
        await response.write_eof()
    return response


async def write(route: Route, request: web.Request) -> web.StreamResponse:
    """Make events of the body's messages; one is answered by its receipt, an array by an array."""
    visit = await route.admit(request)
    messages, is_array = await _messages(route, request)
    _check_headers(request, is_array=is_array)
    messages = [_with_headers(message, request) for message in messages]
    told = [outcome async for outcome in route.write(messages, visit, request.method)]
    if is_array:
        return _json([answer(each) for each in told], 200, route, request)
    first = told[0]
    if isinstance(first, EventHubError):
        return refused(first, route, request)
    status = 201 if _method(messages[0], request) == "POST" and not first.duplicate else 200
    return _json(answer(first), status, route, request)


def refused(error: EventHubError, route: Route, request: web.Request) -> web.Response:
    """Answer with an error object."""
    return _json({"_error": error.as_dict()}, error.http_status, route, request)


def not_allowed(message: str, route: Route, request: web.Request) -> web.Response:
    """Answer a request with a method that no endpoint has (RFC 9110 section 15.5.6)."""
    response = refused(Rejected("bad_method", message), route, request)
    response.set_status(405)
    response.headers["Allow"] = "GET, POST, PUT, DELETE, OPTIONS"
    return response


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


async def _messages(route: Route, request: web.Request) -> tuple[list[Any], bool]:
    """Return the messages of the body, and whether it was an array.

    A DELETE without a body takes its keys from the URL. JSON is JSON whatever the type says:
    `curl -d` calls everything a form.
    """
    if request.content_type == "multipart/form-data":
        return [_texts(await request.post())], False
    body = await request.read()
    if len(body) > route.server.max_message:
        raise too_large(route.server)
    start = body.lstrip()[:1]
    if start not in (b"{", b"["):
        if not body and request.method == "DELETE":
            return [dict(request.query)], False
        if request.content_type == "application/x-www-form-urlencoded":
            return [_texts(await request.post())], False
    return parse_json(body), start == b"["


def _texts(form: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a form; files are not messages."""
    return {key: value for key, value in form.items() if isinstance(value, str)}


def _check_headers(request: web.Request, *, is_array: bool) -> None:
    if is_array and ("Idempotency-Key" in request.headers or "If-Match" in request.headers):
        raise Rejected(
            "bad_control", "Idempotency-Key and If-Match are for one message: use _key and _if_seq"
        )


def _with_headers(message: Any, request: web.Request) -> Any:
    """Read `Idempotency-Key` and `If-Match` (RFC 9110 section 13.1.1) as `_key` and `_if_seq`."""
    if not isinstance(message, dict):
        return message
    controls: dict[str, Any] = {}
    if "Idempotency-Key" in request.headers:
        controls["_key"] = request.headers["Idempotency-Key"]
    if "If-Match" in request.headers:
        controls["_if_seq"] = request.headers["If-Match"].strip().strip('"')
    return {**message, **controls}


Encoder = Callable[[Snapshot, tuple[str, ...]], AsyncIterator[bytes]]


def _format(visit: Visit) -> tuple[str, Encoder]:
    name = visit.control("_format") or "json"
    if name not in _ENCODERS:
        known = ", ".join(_ENCODERS)
        raise Rejected("bad_request", f"_format must be one of {known}", column="_format")
    return _ENCODERS[name]


async def _as_json(snapshot: Snapshot, columns: tuple[str, ...]) -> AsyncIterator[bytes]:
    before = "["
    async for rows in snapshot.chunks():
        yield (before + ",\n".join(row for _, row in rows)).encode()
        before = ",\n"
    yield b"[]" if before == "[" else b"]"


async def _as_ndjson(snapshot: Snapshot, columns: tuple[str, ...]) -> AsyncIterator[bytes]:
    async for rows in snapshot.chunks():
        yield "".join(row + "\n" for _, row in rows).encode()


async def _as_csv(snapshot: Snapshot, columns: tuple[str, ...]) -> AsyncIterator[bytes]:
    """RFC 4180, with a header line; NULL is empty."""
    yield _csv_lines([columns])
    async for rows in snapshot.chunks():
        decoded = (msgspec.json.decode(row) for _, row in rows)
        yield _csv_lines([[_csv_value(row[name]) for name in columns] for row in decoded])


def _csv_value(value: Any) -> Any:
    if isinstance(value, bool | list | dict):
        return msgspec.json.encode(value).decode()
    return value


def _csv_lines(rows: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


_ENCODERS: dict[str, tuple[str, Encoder]] = {
    "json": ("application/json", _as_json),
    "ndjson": ("application/x-ndjson", _as_ndjson),
    "csv": ("text/csv", _as_csv),
}
