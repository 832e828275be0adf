"""Surfaces: every way to read a table and to write to it, as one kind of function.

Tests of who may run over all of them: whoever adds a way adds it here.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, NamedTuple
from uuid import uuid4

import aiohttp
import msgspec
import pyarrow
import pyarrow.ipc
import pyarrow.parquet

from tests.e2e.client import DEADLINE_SECONDS, Closed, Frame, connect

Headers = dict[str, str]


class Answer(NamedTuple):
    """What a client got: an error's code, or everything up to now as text."""

    code: str | None
    text: str


def as_of_now() -> str:
    """Return the argument that asks for the rows as they are at this moment."""
    return f"_as_of={datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


Surface = Callable[[str, Headers, str], Awaitable[Answer]]
"""Called with an endpoint's URL, headers, and more arguments of the URL without `?`."""


def _websocket(*args: str, bare: bool = False, past: bool = False) -> Surface:
    async def read(url: str, headers: Headers, query: str) -> Answer:
        query = joined_args(as_of_now(), query) if past else query
        async with connect(joined(url, *args, query), bare=bare, headers=headers) as client:
            if not bare:
                return _answered(await _until(client.receive, lambda frame: "_ready" in frame))
            # A bare client never learns that it is up to date: it waits for a row of its own.
            marker = uuid4().hex
            await client.send({"recipient": "me", "id": marker})
            return _answered(await _until(client.receive, lambda frame: frame.get("id") == marker))

    return read


def _sse(*args: str, past: bool = False, more: Headers | None = None) -> Surface:
    async def read(url: str, headers: Headers, query: str) -> Answer:
        query = joined_args(as_of_now(), query) if past else query
        async with events(joined(url, *args, query), {**headers, **(more or {})}) as stream:
            if isinstance(stream, Answer):
                return stream
            return _answered(await _until(lambda: anext(stream), lambda frame: "_ready" in frame))

    return read


def _http(
    method: str, form: str = "json", *args: str, body: Any = None, past: bool = False, row: str = ""
) -> Surface:
    """Return a surface of one request.

    Args:
        method: of HTTP.
        form: a format, or with a dot, the end of the path.
        args: of the URL.
        body: what is sent, with a new id.
        past: ask for the rows as they are now.
        row: the id of the row that the path or `_history` names.
    """

    async def ask(url: str, headers: Headers, query: str) -> Answer:
        given = [as_of_now() if past else "", *args, query]
        if form[:1] == ".":
            url += form
        elif form:
            given.insert(0, f"_format={form}")
        if row and "_history" in args:
            given.append(f"id={row}")
        elif row:
            url += f"/{row}"
        made = None if body is None else {**body, "id": uuid4().hex}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, joined(url, *given), headers=headers, json=made) as answer,
        ):
            content = await answer.read()
        if answer.status >= 400:
            return _refusal(content.decode())
        return Answer(None, _text(content, answer.content_type))

    return ask


def _text(content: bytes, content_type: str) -> str:
    """Return an answer as text: of a table in a binary format, its columns and its values."""
    if content_type == "application/vnd.apache.parquet":
        table = pyarrow.parquet.read_table(BytesIO(content))
    elif content_type == "application/vnd.apache.arrow.file":
        table = pyarrow.ipc.open_file(content).read_all()
    elif content_type == "application/vnd.apache.arrow.stream":
        table = pyarrow.ipc.open_stream(content).read_all()
    else:
        return content.decode()
    return f"{table.schema} {table.to_pylist()}"


READS: dict[str, Surface] = {
    "bare": _websocket(bare=True),
    "bare, log": _websocket("_replay=log", bare=True),
    "v1": _websocket(),
    "v1, since": _websocket("_since=earliest"),
    "v1, the last": _websocket("_since=-50"),
    "v1, log": _websocket("_replay=log"),
    "SSE": _sse(),
    "SSE, since": _sse("_since=earliest"),
    "SSE, resumed": _sse(more={"Last-Event-ID": "earliest"}),
    "SSE, log": _sse("_replay=log"),
    "GET": _http("GET"),
    "GET ndjson": _http("GET", "ndjson"),
    "GET csv": _http("GET", "csv"),
    "file": _http("GET", ".ndjson"),
    "file, as of": _http("GET", ".csv", past=True),
    "GET, as of": _http("GET", past=True),
    "v1, as of": _websocket(past=True),
    "v1, played": _websocket("_speed=0", past=True),
    "SSE, as of": _sse(past=True),
    "GET arrow": _http("GET", "arrow"),
    "GET parquet": _http("GET", "parquet"),
    "file, parquet": _http("GET", ".parquet"),
    "file, arrow": _http("GET", ".arrow"),
}
"""All that end once the client has what there is, and take any filter and shape."""
ROW_ID = "mine"
"""The row that surfaces of one row show."""
OTHER_READS: dict[str, Surface] = {
    "GET html": _http("GET", "html"),
    "poll": _http("GET", "json", "_since=earliest"),
    "poll, log": _http("GET", "ndjson", "_since=earliest", "_replay=log"),
    "row": _http("GET", "", row=ROW_ID),
    "row, as of": _http("GET", "", row=ROW_ID, past=True),
    "history": _http("GET", "json", "_history", row=ROW_ID),
    "history csv": _http("GET", "csv", "_history", row=ROW_ID),
    "history file": _http("GET", ".parquet", "_history", row=ROW_ID),
}
"""Those that show the filter itself, or take no filter or shape."""
WRITES: dict[str, Surface] = {
    "POST": _http("POST", "", body={"recipient": "me"}),
    "PUT": _http("PUT", "", body={"body": "x"}),
    "DELETE": _http("DELETE", "", body={}),
}
"""The row of PUT and DELETE does not exist: an admitted client gets `not_found`."""


def joined(url: str, *args: str) -> str:
    """Return a URL with arguments."""
    query = joined_args(*args)
    return f"{url}?{query}" if query else url


def joined_args(*args: str) -> str:
    """Return arguments of a URL, without those that are empty."""
    return "&".join(arg for arg in args if arg)


@asynccontextmanager
async def events(url: str, headers: Headers) -> AsyncIterator["AsyncIterator[Frame] | Answer"]:
    """Open a stream of server-sent events: its frames, or why there is none."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=DEADLINE_SECONDS)
    accept = {"Accept": "text/event-stream", **headers}
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(url, headers=accept) as answer,
    ):
        yield _refusal(await answer.text()) if answer.status >= 400 else _frames(answer)


async def _frames(answer: aiohttp.ClientResponse) -> AsyncIterator[Frame]:
    async for line in answer.content:
        if line.startswith(b"data: "):
            yield msgspec.json.decode(line.removeprefix(b"data: "))


async def _until(
    receive: Callable[[], Awaitable[Frame]], is_last: Callable[[Frame], bool]
) -> list[Frame]:
    frames: list[Frame] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not frames or not (is_last(frames[-1]) or "_error" in frames[-1]):
            try:
                frames.append(await receive())
            except Closed as closed:
                raise AssertionError(f"closed with {closed.code} after {frames}") from closed
    return frames


def _answered(frames: list[Frame]) -> Answer:
    text = msgspec.json.encode(frames).decode()
    return Answer(frames[-1]["_error"]["code"] if "_error" in frames[-1] else None, text)


def _refusal(text: str) -> Answer:
    return Answer(msgspec.json.decode(text)["_error"]["code"], text)
