"""SQL: the endpoint of a SQLHandler. It asks the handler's process, and sends the file it gets.

A file is made before its first byte is sent, so a client that reads slowly holds no transaction and
no memory.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, BinaryIO, Final, cast

import msgspec
from aiohttp import web

from eventhub.channel import encode_token
from eventhub.errors import EventHubError, Rejected
from eventhub.event import POSITION_HEADER
from eventhub.filters.arguments import Args, parse_query_string
from eventhub.gateway import file_answer, refusal, sql_files
from eventhub.gateway.answering import HttpHandler, answered
from eventhub.gateway.controls import CSVS, checked_choice
from eventhub.gateway.disconnection import while_connected
from eventhub.gateway.sql_page import PAGE_HEADERS, PAGE_ROWS, SqlPage
from eventhub.gateway.sql_route import (
    ROWS_HEADER,
    TRUNCATED_HEADER,
    SqlRoute,
    arguments,
    missing,
)
from eventhub.identity.expiry import while_valid
from eventhub.queries import Answer, Format, Question

FORMATS = ("json", "ndjson", "csv", "arrow", "parquet", "html")
METHODS = "GET, HEAD, POST, OPTIONS"
PIECE_BYTES = 256 << 10
"""Of a file, read and sent at once."""
CONTENT: Final = {
    "json": "application/json; charset=utf-8",
    "ndjson": "application/x-ndjson; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
_CONTROLS: Final = ("_format", "_csv", "sql", "min_seq")


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON body of a POST."""

    sql: str
    params: dict[str, Any] = {}
    min_seq: int | str | None = None
    rows: Annotated[int, msgspec.Meta(ge=0)] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for."""

    question: Question | None
    """None: there is no statement."""
    format: str
    """Also `html`."""
    args: Args
    """Of the URL."""


def handler_of(route: SqlRoute) -> HttpHandler:
    """Return the handler of a SQLHandler's path."""
    return _guarded(route, partial(_dispatch, route))


def handler_of_file(route: SqlRoute, suffix: str) -> HttpHandler:
    """Return the handler of the file of an answer; a suffix is one of `SUFFIXES`."""
    return _guarded(route, partial(_get_file, route, suffix))


async def _get_file(route: SqlRoute, suffix: str, request: web.Request) -> web.StreamResponse:
    if request.method == "OPTIONS":
        return file_answer.options(route.headers(request))
    if request.method not in file_answer.METHODS:
        raise web.HTTPMethodNotAllowed(request.method, file_answer.METHODS)
    return await sql_files.get(route, suffix, request)


def _guarded(route: SqlRoute, dispatch: HttpHandler) -> HttpHandler:
    def refuse(error: EventHubError, request: web.Request) -> web.StreamResponse:
        refusal.count(error, request)
        return refusal.answer(error, route.headers(request))

    return answered(route.entry.name, dispatch, refuse)


async def _dispatch(route: SqlRoute, request: web.Request) -> web.StreamResponse:
    match request.method:
        case "OPTIONS":
            return web.Response(status=204, headers={"Allow": METHODS, **route.headers(request)})
        case "GET" | "HEAD" | "POST":
            return await _answer(route, request)
        case _:
            raise web.HTTPMethodNotAllowed(request.method, METHODS.split(", "))


async def _answer(route: SqlRoute, request: web.Request) -> web.StreamResponse:
    args = parse_query_string(request.rel_url.raw_query_string)
    handler = await route.admit(request, args)
    client = route.client(request, handler)
    async with while_connected(request), while_valid(handler.validity):
        asked = await _asked(route, request, args, client)
        if asked.format == "html":
            return await _page(route, request, asked, client)
        if asked.question is None:
            raise missing()
        answer = await route.ask(request, asked.question, client)
        return await _file(route, request, asked, answer)


async def _asked(route: SqlRoute, request: web.Request, args: Args, client: str) -> Asked:
    """Read the statement, its parameters and the controls, from the URL and the body."""
    given = arguments(args, _CONTROLS, "a query")
    body = Body(sql=given.get("sql", ""), min_seq=given.get("min_seq"))
    if request.method == "POST":
        if "sql" in given:
            raise Rejected("bad_request", "a POST has its statement in its body", column="sql")
        body = await _body(route, request, client)
        body.min_seq = given.get("min_seq") if body.min_seq is None else body.min_seq
    named = {name: value for name, value in given.items() if name not in _CONTROLS}
    name = _format(request, given, has_statement=bool(body.sql))
    if not body.sql.strip():
        return Asked(None, name, args)
    is_safe = checked_choice("_csv", given.get("_csv"), CSVS) == "safe"
    encoded = "safe csv" if name == "csv" and is_safe else "ndjson" if name == "html" else name
    question = Question(
        sql=body.sql,
        parameters={**named, **body.params},
        format=cast("Format", encoded),
        at_least=str(body.min_seq or request.headers.get(POSITION_HEADER, "")),
        rows=body.rows,
    )
    return Asked(question, name, args)


def _format(request: web.Request, given: dict[str, str], *, has_statement: bool) -> str:
    """Return the format; a browser that comes without a statement gets the page to write one."""
    is_browser = "text/html" in request.headers.get("Accept", "")
    if "_format" not in given and not has_statement and is_browser:
        return "html"
    return checked_choice("_format", given.get("_format"), FORMATS)


async def _body(route: SqlRoute, request: web.Request, client: str) -> Body:
    """Read a statement as text, or with its parameters as JSON, whatever the media type says."""
    with route.shared.bodies.counted(client) as reading:
        raw = await reading.raw(request)
        try:
            if raw.lstrip().startswith(b"{"):
                return msgspec.json.decode(raw, type=Body)
            return Body(sql=raw.decode())
        except msgspec.ValidationError as error:
            raise Rejected("bad_request", f"the body: {error}") from None
        except msgspec.DecodeError as error:
            raise Rejected("bad_json", f"the body is not JSON: {error}") from None
        except UnicodeDecodeError:
            raise Rejected("bad_body", "the body is not UTF-8") from None


async def _file(
    route: SqlRoute, request: web.Request, asked: Asked, answer: Answer
) -> web.StreamResponse:
    name = encode_token(route.entry.name)
    headers = route.headers(request) | {
        POSITION_HEADER: answer.position,
        ROWS_HEADER: str(answer.rows),
        "Content-Type": CONTENT[asked.format],
    }
    if answer.truncated:
        headers[TRUNCATED_HEADER] = "true"
    if asked.format in ("arrow", "parquet", "csv"):
        headers["Content-Disposition"] = f'attachment; filename="{name}.{asked.format}"'
    with answer.file as file:
        compression = route.shared.compression
        return await compression.send(request, _pieces(file), headers, size=answer.size)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield piece


async def _page(
    route: SqlRoute, request: web.Request, asked: Asked, client: str
) -> web.StreamResponse:
    page = SqlPage(route.entry, asked.args)
    headers = {**PAGE_HEADERS, **route.headers(request)}
    status = 200
    if asked.question is None:
        text = page.render()
    else:
        question = replace(asked.question, rows=PAGE_ROWS)
        try:
            answer = await route.ask(request, question, client)
        except EventHubError as error:
            refusal.count(error, request)
            status, text = error.http_status, page.render_error(error)
        else:
            headers[POSITION_HEADER] = answer.position
            with answer.file as file:
                lines = await asyncio.to_thread(file.read)
            text = await asyncio.to_thread(page.render_answer, answer, lines)
    headers["Content-Type"] = "text/html; charset=utf-8"
    return await route.shared.compression.send_whole(request, text, headers, status=status)
