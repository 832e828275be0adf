"""Surfaces: every way to read a table and to write to it, as one kind of function.

Tests of who may run over all of them: whoever adds a way adds it here.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

import aiohttp
import msgspec
import pyarrow
import pyarrow.ipc
import pyarrow.parquet

from eventhub.delivery.frames import Form
from tests.e2e.client import DEADLINE_SECONDS, Closed, Frame, connect, subscribe

Headers = dict[str, str]


class Answer(NamedTuple):
    """What a client got: an error's code, or everything up to now as text."""

    code: str | None
    text: str


def as_of_now() -> str:
    """Return the argument that asks for the rows as they are at this moment."""
    return f"_as_of={datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


class Surface(Protocol):
    """A way to read or write."""

    async def __call__(
        self, url: str, headers: Headers, query: str, recipient: str = "me"
    ) -> Answer:
        """Use it.

        Args:
            url: of an endpoint.
            headers: who asks.
            query: more arguments of the URL, without `?`.
            recipient: of a row that the client may write and see.
        """


def websocket(
    *args: str,
    form: Form = Form.V1,
    bare: bool = False,
    shared: bool = False,
    past: bool = False,
    row: str = "",
) -> Surface:
    """Return a surface of one WebSocket, which is read until it is up to date."""
    bare = bare or form is Form.BARE

    async def read(url: str, headers: Headers, query: str, recipient: str = "me") -> Answer:
        query = joined_args(as_of_now(), query) if past else query
        url += f"/{row}" if row else ""
        asked = joined(url, *args, query)
        opened = connect(asked, form=form, bare=bare, headers=headers)
        async with subscribe(asked, headers=headers) if shared else opened as client:
            if not bare and not headers:  # the hub waits for a login until any frame comes
                await client.send({"_method": "DELETE", "id": "of no row", "_ref": "first"})
            if not bare:
                return _answered(await _until(client.receive, lambda frame: "_ready" in frame))
            # A bare client never learns that it is up to date: it waits for a row of its own. On a
            # busy machine that row is already among those of the past, which may have no id.
            marker = uuid4().hex
            await client.send({"recipient": recipient, "id": marker, "body": marker})
            return _answered(await _until(client.receive, lambda frame: marker in frame.values()))

    return read


def sse(*args: str, past: bool = False, more: Headers | None = None, row: str = "") -> Surface:
    """Return a surface of one stream of server-sent events, read until it is up to date."""

    async def read(url: str, headers: Headers, query: str, recipient: str = "me") -> Answer:
        query = joined_args(as_of_now(), query) if past else query
        url += f"/{row}" if row else ""
        async with events(joined(url, *args, query), {**headers, **(more or {})}) as stream:
            if isinstance(stream, Answer):
                return stream
            return _answered(await _until(lambda: anext(stream), lambda frame: "_ready" in frame))

    return read


def http(
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

    async def ask(url: str, headers: Headers, query: str, recipient: str = "me") -> Answer:
        given = [as_of_now() if past else "", *args, query]
        if form[:1] == ".":
            url += form
        elif form:
            given.insert(0, f"_format={form}")
        if row and "_history" in args:
            given.append(f"id={row}")
        elif row and "_history&_id" in args:
            given[given.index("_history&_id")] = f"_history&_id={row}"
        elif row:
            url += f"/{row}"
        made = None if body is None else {**body, "id": uuid4().hex}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, joined(url, *given), headers=headers, json=made) as answer,
        ):
            content = await answer.read()
        if answer.status >= 400:
            return (
                Answer(str(answer.status), "") if method == "HEAD" else _refusal(content.decode())
            )
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
    "bare": websocket(bare=True),
    "bare, log": websocket("_replay=log", bare=True),
    "v1": websocket(),
    "v1, since": websocket("_since=earliest"),
    "v1, the last": websocket("_since=-50"),
    "v1, log": websocket("_replay=log"),
    "v2": websocket(form=Form.V2),
    "v2, log": websocket("_replay=log", form=Form.V2),
    "socket": websocket(shared=True),
    "SSE": sse(),
    "SSE, since": sse("_since=earliest"),
    "SSE, resumed": sse(more={"Last-Event-ID": "earliest"}),
    "SSE, log": sse("_replay=log"),
    "GET": http("GET"),
    "GET ndjson": http("GET", "ndjson"),
    "GET csv": http("GET", "csv"),
    "file": http("GET", ".ndjson"),
    "file, as of": http("GET", ".csv", past=True),
    "GET, as of": http("GET", past=True),
    "v1, as of": websocket(past=True),
    "v1, played": websocket("_speed=0", past=True),
    "SSE, as of": sse(past=True),
    "GET arrow": http("GET", "arrow"),
    "GET parquet": http("GET", "parquet"),
    "file, parquet": http("GET", ".parquet"),
    "file, arrow": http("GET", ".arrow"),
}
"""All that end once the client has what there is, and take any filter and shape."""
ROW_ID = "mine"
"""The row that surfaces of one row show."""
OTHER_READS: dict[str, Surface] = {
    "GET html": http("GET", "html"),
    "poll": http("GET", "json", "_since=earliest"),
    "poll, log": http("GET", "ndjson", "_since=earliest", "_replay=log"),
    "row": http("GET", "", row=ROW_ID),
    "row, as of": http("GET", "", row=ROW_ID, past=True),
    "history": http("GET", "json", "_history", row=ROW_ID),
    "history csv": http("GET", "csv", "_history", row=ROW_ID),
    "history file": http("GET", ".parquet", "_history", row=ROW_ID),
}
"""Those that show the filter itself, or take no filter or shape."""
WRITES: dict[str, Surface] = {
    "POST": http("POST", "", body={"recipient": "me"}),
    "PUT": http("PUT", "", body={"body": "x"}),
    "DELETE": http("DELETE", "", body={}),
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
    while not frames or not (is_last(frames[-1]) or _is_refusal(frames[-1])):
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                frames.append(await receive())
        except Closed as closed:
            raise AssertionError(f"closed with {closed.code} after {frames}") from closed
        except TimeoutError as late:
            raise AssertionError(f"nothing follows {frames}") from late
    return frames


REQUIRED = {"_auth": "required"}
"""To a client that may still send a token; these clients have none, or sent it in the handshake."""


def _is_refusal(frame: Frame) -> bool:
    """Return whether a frame refuses the connection, and not a message."""
    return frame == REQUIRED or ("_error" in frame and "ref" not in frame["_error"])


def _answered(frames: list[Frame]) -> Answer:
    text = msgspec.json.encode(frames).decode()
    if frames[-1] == REQUIRED:
        return Answer("unauthorized", text)
    return Answer(frames[-1]["_error"]["code"] if "_error" in frames[-1] else None, text)


def _refusal(text: str) -> Answer:
    return Answer(msgspec.json.decode(text)["_error"]["code"], text)
