"""Servers of this process for tests: a whole gateway over a log in memory, or a single handler."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from eventhub.channel import Endpoint
from eventhub.config import Auth, Config, Console, MessageEndpoint, Server, SqlEndpoint
from eventhub.feed import Feed
from eventhub.gateway.admin import Condition, Health
from eventhub.gateway.front import Front
from eventhub.gateway.gateway import Gateway
from eventhub.gateway.server import Runner
from eventhub.gateway.site import Site
from eventhub.gateway.sockets import Sockets
from eventhub.gateway.sources import Sources
from eventhub.memory import MemoryStream
from eventhub.memory_signals import MemorySignals
from eventhub.processes import Processes
from eventhub.queries import Queries
from eventhub.snapshots import TableFiles
from eventhub.vitals import Vitals
from tests.bench.wire import masked
from tests.builders import channel, logins
from tests.subscribing import MemorySnapshots

DEADLINE_SECONDS = 40.0
HANDSHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
V1 = b"Sec-WebSocket-Protocol: eventhub.v1.json\r\n"
V2 = b"Sec-WebSocket-Protocol: eventhub.v2.json\r\n"


class Client:
    """One TCP connection, which speaks HTTP and WebSocket byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def upgrade(
        self, headers: bytes = b"", query: bytes = b"", path: bytes = b"/chat", early: bytes = b""
    ) -> bytes:
        """Open a WebSocket, and send what is `early` at once; return the head of the answer."""
        self.writer.write(HANDSHAKE.replace(b"/chat", path + query) + headers + b"\r\n" + early)
        return await self.head()

    async def head(self) -> bytes:
        """Return the head of the next answer."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self._reader.readuntil(b"\r\n\r\n")

    def send(self, payload: object, first: int = 0x81) -> None:
        """Send a message as one masked frame."""
        data = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        self.writer.write(masked(data, first))

    async def frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            first, size = await self._reader.readexactly(2)
            if size > 125:
                size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8))
            return first & 0x0F, await self._reader.readexactly(size)

    async def json(self) -> Any:
        """Return the next text frame."""
        kind, payload = await self.frame()
        assert kind == 1, payload
        return msgspec.json.decode(payload)

    async def close_code(self) -> int:
        """Return the code of the next frame, a close frame."""
        kind, payload = await self.frame()
        assert kind == 8, payload
        return int.from_bytes(payload[:2])

    async def rest(self) -> bytes:
        """Return everything that comes until the server closes."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""


@asynccontextmanager
async def connected(port: int, limit: int = 1 << 16) -> AsyncIterator[Client]:
    """A connection to a port of this machine; above twice `limit` bytes it reads no more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def handling(
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[int]:
    """Serve one handler as the gateway's server would, at any path; yields the port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = Runner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class Running:
    """A gateway that serves `/chat`, the channel of `builders.channel`."""

    def __init__(
        self,
        gateway: Gateway,
        front: Front,
        stream: MemoryStream,
        http: aiohttp.ClientSession,
        stop: asyncio.Event,
    ) -> None:
        self.gateway = gateway
        self.front = front
        self.stream = stream
        self.http = http
        self.stop = stop
        """Set it to stop the gateway before the block ends."""

    @property
    def url(self) -> str:
        """Of the endpoint."""
        return f"{self.front.url}/chat"

    @property
    def port(self) -> int:
        return int(self.front.url.rpartition(":")[2])

    def rows(self) -> list[dict[str, Any]]:
        """The rows after each event that was stored, in order."""
        stored = (self.stream.at(n + 1).event.row for n in range(self.stream.length))
        return [row for row in stored if row is not None]


def well() -> Condition:
    """The condition of a hub that accepts traffic."""
    return Condition([], [])


def alone(folder: Path, feeds: Mapping[str, Feed] | None = None) -> Processes:
    """The processes of a hub that has no others."""
    vitals = Vitals(feeds or {}, folder, ["gateway"])
    return Processes(vitals, MemorySignals(), well)


@asynccontextmanager
async def running(
    folder: Path,
    server: Server | None = None,
    health: Health = well,
    sql: tuple[SqlEndpoint, Queries] | None = None,
    users: Auth | None = None,
    console: Console | None = None,
    **endpoint: Any,
) -> AsyncIterator[Running]:
    """Run a gateway with one endpoint, whose configuration may be changed, and perhaps SQL.

    Args:
        folder: of its data.
        server: what `server:` says.
        health: how the rest of the hub is.
        sql: a SQLHandler, and what answers it.
        users: what the `auth:` of the hub says.
        console: who may open the console.
        endpoint: keys of the endpoint.
    """
    entry = MessageEndpoint(name="chat", pattern="/chat", table="chat", **endpoint)
    config = Config(
        path=folder / "eventhub.yaml",
        data=folder,
        server=server or Server(host="127.0.0.1", port=0),
        auth=users or Auth(),
        console=console,
        endpoints=(entry,) if sql is None else (entry, sql[0]),
    )
    stream, stop, ready = MemoryStream(channel()), asyncio.Event(), asyncio.Event()
    feed = Feed(stream, 0)
    gateway = Gateway(
        Site(config, [Endpoint(entry, stream.channel)], logins()),
        {"chat": feed},
        Sources(
            MemorySnapshots(stream),
            TableFiles(),
            MemorySignals(),
            alone(folder, {"chat": feed}),
            {} if sql is None else {sql[0].name: sql[1]},
        ),
        health,
    )
    async with (
        aiohttp.ClientSession() as http,
        Front.open(Sockets.bound(config.server), config) as front,
        asyncio.TaskGroup() as group,
    ):
        following = group.create_task(feed.run())
        group.create_task(gateway.run(front, stop, ready.set))
        try:
            await ready.wait()
            yield Running(gateway, front, stream, http, stop)
        finally:
            stop.set()
            following.cancel()
