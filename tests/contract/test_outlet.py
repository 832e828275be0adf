"""What every outlet does with the bytes that it is given, however its client takes them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from typing import Protocol

import pytest
from aiohttp import web

from eventhub.config import Server
from eventhub.delivery.broadcast import Broadcast, Sinks
from eventhub.delivery.outlet import MAX_UNSENT_BYTES, Outlet, Stalled
from eventhub.errors import Rejected
from eventhub.gateway.large import LargeMessages
from eventhub.gateway.sse import SseConnection
from eventhub.gateway.turns import Turns
from eventhub.gateway.websocket import WebSocketConnection
from tests.subscribing import Pipe

DEADLINE_SECONDS = 40.0
MOST_BYTES = 64 << 20
"""More than the kernel keeps for a client that does not read."""
REQUEST = (
    b"GET /%b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Client(Protocol):
    """The other end of an outlet. It reads only when it is asked to."""

    outlet: Outlet

    async def received(self, size: int) -> bytes:
        """Read until it has so many bytes in all, or to the end; return all of them."""

    async def error_code(self) -> str:
        """Return the code of the error that it was sent."""

    def stall(self) -> None:
        """Take nothing until the outlet gives up."""

    def leave(self) -> None:
        """Close the connection without a word."""


class MemoryClient:
    """Reads from a pipe."""

    def __init__(self) -> None:
        self._pipe = Pipe(MAX_UNSENT_BYTES)
        self.outlet: Outlet = self._pipe

    async def received(self, size: int) -> bytes:
        self._pipe.take()
        return self._pipe.taken

    async def error_code(self) -> str:
        assert self._pipe.failure is not None
        return self._pipe.failure.code

    def stall(self) -> None:
        self._pipe.stall()

    def leave(self) -> None:
        self._pipe.close()


class SocketClient:
    """Reads from a connection."""

    def __init__(self, outlet: Outlet, raw: socket.socket) -> None:
        self.outlet = outlet
        self._raw = raw
        self._received = b""

    async def _read(self) -> bytes:
        part = await asyncio.get_running_loop().sock_recv(self._raw, 1 << 20)
        self._received += part
        return part

    async def received(self, size: int) -> bytes:
        while len(self._received) < size and await self._read():
            pass
        return self._received

    async def error_code(self) -> str:
        while (begin := self._received.find(b'{"_error":{"code":"')) < 0:
            assert await self._read()
        return self._received[begin:].split(b'"')[5].decode()

    def stall(self) -> None:
        """It reads nothing anyway."""

    def leave(self) -> None:
        self._raw.close()

    async def skip_head(self, end: bytes) -> None:
        """Read what precedes the first frame: the headers, and of a stream its first line."""
        while not self._received.endswith(end):
            assert await self._read()
        self._received = b""


@asynccontextmanager
async def connected(kind: str) -> AsyncIterator[SocketClient]:
    """Open a WebSocket or an event stream; its client is given up after a fraction of a second."""
    server = Server(stalled_after=0.2)
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[WebSocketConnection | SseConnection] = loop.create_future()

    async def handle(request: web.Request) -> web.StreamResponse:
        if kind == "websocket":
            large = LargeMessages(4 * server.max_message)
            opened.set_result(await WebSocketConnection.open(request, server, Turns(), large))
        else:
            opened.set_result(await SseConnection.open(request, server, {}))
        return web.Response()

    app = web.Application()
    app.router.add_get(f"/{kind}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with closing(socket.socket()) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        await loop.sock_connect(raw, runner.addresses[0])
        await loop.sock_sendall(raw, REQUEST % kind.encode())
        connection = await opened
        client = SocketClient(connection, raw)
        await client.skip_head(b"\r\n\r\n" if kind == "websocket" else b"\n\n")
        yield client
    connection.abort()
    while not connection.is_lost:
        await asyncio.sleep(0)
    await runner.cleanup()


@pytest.fixture(params=["memory", "websocket", "sse"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """The client of an outlet of each kind."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        if request.param == "memory":
            yield MemoryClient()
            return
        async with connected(request.param) as found:
            yield found


@pytest.fixture
def broadcast() -> Iterator[Broadcast]:
    """A broadcast, closed at the end."""
    with closing(Broadcast()) as made:
        yield made


def fill(outlet: Outlet) -> bytes:
    """Write until the outlet is full; return what was written."""
    written = b""
    while not outlet.is_full:
        assert len(written) < MOST_BYTES
        part = bytes([len(written) % 251]) * (1 << 16)
        outlet.push(part)
        written += part
    return written


def counted(outlet: Outlet) -> Callable[[], int]:
    """Count the calls of `on_full`."""
    calls: list[None] = []
    outlet.on_full = lambda: calls.append(None)
    return lambda: len(calls)


async def test_bytes_arrive_in_the_order_in_which_they_were_written(
    client: Client, broadcast: Broadcast
) -> None:
    sinks = Sinks()
    sinks.add(client.outlet.sink)
    for number in range(5):
        client.outlet.push(b"own %d," % number)
        broadcast.write(sinks, b"all %d," % number)
    expected = b"".join(b"own %d,all %d," % (number, number) for number in range(5))
    assert await client.received(len(expected)) == expected


async def test_a_full_outlet_calls_back_once_and_takes_more(client: Client) -> None:
    calls = counted(client.outlet)
    written = fill(client.outlet)
    assert calls() == 1
    client.outlet.push(b"more")
    assert await client.received(len(written) + 4) == written + b"more"


async def test_a_full_outlet_is_drained_by_its_client(client: Client) -> None:
    written = fill(client.outlet)
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(client.outlet.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        await client.received(len(written))
    assert not client.outlet.is_full
    await client.outlet.drain()


async def test_a_broadcast_that_fills_an_outlet_calls_back(
    client: Client, broadcast: Broadcast
) -> None:
    calls, sinks = counted(client.outlet), Sinks()
    sinks.add(client.outlet.sink)
    written = 0
    while not client.outlet.is_full:
        assert written < MOST_BYTES
        broadcast.write(sinks, bytes(1 << 16))
        written += 1 << 16
    assert calls() == 1


async def test_a_client_that_takes_nothing_is_reported_as_stalled(client: Client) -> None:
    fill(client.outlet)
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(ends(client.outlet, Stalled))
        await asyncio.sleep(0)
        client.stall()
    assert draining.result()


async def ends(outlet: Outlet, error: type[Exception]) -> bool:
    """Wait for room; return whether there is none because of an error."""
    with suppress(error):
        await outlet.drain()
        return False
    return True


async def test_draining_ends_when_the_client_has_left(client: Client) -> None:
    fill(client.outlet)
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(ends(client.outlet, ConnectionError))
        await asyncio.sleep(0)
        client.leave()
    assert draining.result()
    assert client.outlet.is_closing
    client.outlet.push(b"is ignored")


async def test_a_failure_reaches_the_client_and_is_the_last_that_it_gets(client: Client) -> None:
    calls = counted(client.outlet)
    client.outlet.push(b"before,")
    async with asyncio.TaskGroup() as group:
        group.create_task(client.outlet.fail(Rejected("too_costly", "ask for fewer")))
        await asyncio.sleep(0)
        assert calls() == 1
        assert client.outlet.is_closing
        client.outlet.push(b"after")
        assert await client.error_code() == "too_costly"
        assert b"after" not in await client.received(0)
        client.leave()


async def test_a_full_outlet_is_not_pinged(client: Client) -> None:
    """It is not silent, and would only get fuller."""
    client.outlet.ping()
    written = fill(client.outlet)
    client.outlet.ping()
    client.outlet.push(b"end")
    size = len(written) + len(b"end")
    while not (received := await client.received(size)).endswith(b"end"):
        size = len(received) + 1
    assert received.endswith(written + b"end")
