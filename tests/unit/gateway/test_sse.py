"""A stream of server-sent events is a chunked answer of the hub's own making."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from eventhub.config import Server
from eventhub.delivery.frames import Form, sse_event
from eventhub.errors import Close, Unavailable
from eventhub.gateway.sse import MAX_UNASKED_BYTES, SseConnection
from tests.subscribing import eventually
from tests.unit.gateway.serving import Client, connected, handling

GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
START = re.compile(rb"retry: [123]\d{3}\n\n")
PING = b":\n\n"


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[SseConnection, Client, bytes]]:
    """A server's stream, its client, and the head of the answer."""
    connections: asyncio.Queue[SseConnection] = asyncio.Queue()

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = {"Access-Control-Allow-Origin": "https://example.org"}
        connections.put_nowait(await SseConnection.open(request, Server(), headers))
        return web.Response()

    async with handling(handle) as port, connected(port) as client:
        client.writer.write(GET)
        head = await client.head()
        connection = await connections.get()
        yield connection, client, head
        connection.abort()
        await eventually(lambda: connection.is_lost)


async def test_the_head_names_the_type_and_forbids_caching_and_buffering() -> None:
    async with opened() as (connection, client, head):
        for line in (
            b"Content-Type: text/event-stream",
            b"Cache-Control: no-store",
            b"X-Accel-Buffering: no",
            b"Connection: close",
            b"Access-Control-Allow-Origin: https://example.org",
        ):
            assert line in head
        assert b"Transfer-Encoding" not in head
        assert connection.form is Form.SSE
        await connection.close(Close.RESTART)
        assert START.fullmatch(await client.rest())


async def test_pushed_frames_arrive_as_they_are_and_pings_are_comments() -> None:
    async with opened() as (connection, client, _):
        frame = sse_event(b'{"a":1}', None)
        connection.push(frame)
        connection.ping()
        await connection.drain()
        await connection.close(Close.RESTART)
        first, rest = (await client.rest()).split(b"\n\n", 1)
        assert START.fullmatch(first + b"\n\n")
        assert rest == frame + PING


async def test_a_failure_is_the_last_event() -> None:
    async with opened() as (connection, client, _):
        await connection.fail(Unavailable("the log is away"))
        connection.push(b"late")
        rest = await client.rest()
        assert b'data: {"_error":{"code":"unavailable"' in rest
        assert rest.endswith(b"\n\n")
        assert b"late" not in rest


async def test_a_client_that_sends_without_end_is_disconnected() -> None:
    async with opened() as (connection, client, _):
        client.writer.write(b"x" * (MAX_UNASKED_BYTES + 1))
        await eventually(lambda: connection.is_lost)
