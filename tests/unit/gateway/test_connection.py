"""A client's transport, once it is taken over from aiohttp."""

import asyncio

from aiohttp import web

from eventhub.delivery.broadcast import Sinks
from eventhub.gateway.connection import Connection

DEADLINE_SECONDS = 40.0
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_a_lost_socket_has_left_its_set_before_its_owner_is_notified() -> None:
    """Its descriptor may soon be another client's, whatever its owner does then."""
    sinks, here, gone = Sinks(), asyncio.Event(), asyncio.Event()
    left_behind: list[int] = []

    def on_lost() -> None:
        left_behind.append(len(sinks))
        gone.set()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        connection = Connection(request, DEADLINE_SECONDS)
        connection.on_lost = on_lost
        sinks.add(connection.sink)
        here.set()
        return response

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with asyncio.timeout(DEADLINE_SECONDS):
        _, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(HANDSHAKE)
        await here.wait()
        assert len(sinks) == 1
        writer.transport.abort()
        await gone.wait()
    await runner.cleanup()
    assert left_behind == [0]
