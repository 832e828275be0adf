"""A WebSocket speaks its protocol (RFC 6455), and hands texts on while they are wanted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from eventhub import deadlines
from eventhub.config import Server
from eventhub.delivery.frames import Form
from eventhub.errors import Close, Rejected
from eventhub.gateway.large import LARGE_BYTES, LargeMessages
from eventhub.gateway.turns import Turns
from eventhub.gateway.websocket import MAX_REFUSED_BYTES, WebSocketConnection
from tests.bench.wire import masked
from tests.subscribing import eventually
from tests.unit.gateway.serving import V1, Client, connected, handling

SERVER = Server(max_message=100_000)


class Opened:
    """A server's WebSocket with its client, and what it was sent."""

    def __init__(self, connection: WebSocketConnection, client: Client) -> None:
        self.connection = connection
        self.client = client
        self.texts: list[bytes] = []
        connection.on_text = self.texts.append


@asynccontextmanager
async def opened(
    headers: bytes = b"", server: Server = SERVER, early: bytes = b""
) -> AsyncIterator[Opened]:
    connections: asyncio.Queue[WebSocketConnection] = asyncio.Queue()
    large = LargeMessages(4 * server.max_message)
    turns = Turns()

    async def handle(request: web.Request) -> web.StreamResponse:
        connections.put_nowait(await WebSocketConnection.open(request, server, turns, large))
        return web.Response()

    async with handling(handle) as port, connected(port) as client:
        head = await client.upgrade(headers, early=early)
        assert b" 101 " in head
        connection = await connections.get()
        yield Opened(connection, client)
        connection.abort()
        await eventually(lambda: connection.is_lost)


async def test_an_open_connection_is_whole_and_reads_nothing_before_it_starts() -> None:
    async with opened() as socket:
        assert socket.connection.form is Form.BARE
        assert not socket.connection.is_closing
        socket.client.send({"a": 1})
        socket.connection.send({"b": 2}, {"c": 3})
        assert await socket.client.json() == {"b": 2}
        assert await socket.client.json() == {"c": 3}
        assert socket.texts == []
        socket.connection.start()
        await eventually(lambda: socket.texts == [b'{"a":1}'])


@pytest.mark.parametrize("size", [1, 80_000])  # the latter in several pieces
async def test_what_comes_with_the_handshake_is_not_lost(size: int) -> None:
    text = b"x" * size
    async with opened(early=masked(text, 0x81)) as socket:
        socket.client.send(b"y")
        assert socket.texts == []
        socket.connection.start()
        await eventually(lambda: socket.texts == [text, b"y"])


async def test_the_subprotocol_chooses_the_form() -> None:
    async with opened(V1) as socket:
        assert socket.connection.form is Form.V1


async def test_a_ping_is_answered_with_its_payload() -> None:
    async with opened() as socket:
        socket.connection.start()
        socket.client.send(b"are you there", 0x89)
        assert await socket.client.frame() == (10, b"are you there")


async def test_a_binary_message_is_refused_and_the_connection_goes_on() -> None:
    async with opened() as socket:
        socket.connection.start()
        socket.client.send(b"{}", 0x82)
        assert (await socket.client.json())["_error"]["code"] == "bad_json"
        socket.client.send(b"{}")
        await eventually(lambda: socket.texts == [b"{}"])


async def test_a_client_that_breaks_the_protocol_gets_the_close_code() -> None:
    async with opened() as socket:
        socket.connection.start()
        socket.client.writer.write(b"\x81\x02{}")  # not masked
        assert await socket.client.close_code() == 1002
        assert await socket.client.rest() == b""


async def test_a_close_frame_of_the_client_is_reported_once_and_answered() -> None:
    async with opened() as socket:
        ends: list[None] = []

        def on_end() -> None:
            ends.append(None)
            socket.connection.leave()

        socket.connection.on_end = on_end
        socket.connection.start()
        socket.client.send(b"\x03\xe8", 0x88)
        assert await socket.client.close_code() == 1000
        assert await socket.client.rest() == b""
        assert len(ends) == 1


async def test_close_returns_when_the_client_has_answered() -> None:
    async with opened() as socket:
        socket.connection.start()
        closing = asyncio.ensure_future(socket.connection.close(Close.RESTART))
        assert await socket.client.close_code() == Close.RESTART
        assert not closing.done()
        socket.client.send(b"\x03\xf4", 0x88)
        assert await socket.client.rest() == b""
        await closing


async def test_close_does_not_wait_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "CLOSE_FRAME_SECONDS", 0.05)
    async with opened() as socket:
        await socket.connection.close(Close.RESTART)
        assert await socket.client.close_code() == Close.RESTART
        assert await socket.client.rest() == b""


async def test_after_a_close_frame_nothing_more_is_written() -> None:
    async with opened() as socket:
        closing = asyncio.ensure_future(socket.connection.close(Close.RESTART))
        await asyncio.sleep(0)
        socket.connection.send({"late": True})
        assert await socket.client.close_code() == Close.RESTART
        socket.client.send(b"\x03\xf4", 0x88)
        assert await socket.client.rest() == b""
        await closing


async def test_a_refused_client_that_goes_on_sending_is_aborted() -> None:
    async with opened() as socket:
        failing = asyncio.ensure_future(socket.connection.fail(Rejected("forbidden", "no")))
        assert (await socket.client.json())["_error"]["code"] == "forbidden"
        assert await socket.client.close_code() == Close.FORBIDDEN
        assert not socket.connection.is_lost
        socket.client.send(b"x" * MAX_REFUSED_BYTES)
        async with asyncio.timeout(deadlines.CLOSE_FRAME_SECONDS / 2):
            await failing
        assert socket.connection.is_lost


async def test_texts_wait_while_they_are_not_wanted() -> None:
    async with opened() as socket:
        is_wanted = False

        def on_turn(is_over: Callable[[], bool]) -> bool:
            return is_wanted

        socket.connection.on_turn = on_turn
        socket.connection.start()
        for number in range(3):
            socket.client.send(number)
        socket.client.send(b"", 0x89)
        await asyncio.sleep(0.05)  # nothing may happen, however long
        assert socket.texts == []
        is_wanted = True
        socket.connection.wake()
        assert await socket.client.frame() == (10, b"")
        assert socket.texts == [b"0", b"1", b"2"]


async def test_a_client_that_causes_much_work_for_nothing_is_paused() -> None:
    async with opened() as socket:
        socket.connection.start()
        socket.connection.charge(1.0)
        socket.client.send(b"{}")
        waiting = asyncio.ensure_future(socket.connection.wait_while_paused())
        await asyncio.sleep(0.05)  # nothing may happen, however long
        assert socket.texts == []
        assert not waiting.done()
        waiting.cancel()


async def test_a_large_message_waits_for_its_permit_and_gives_it_back() -> None:
    text = b'"%s"' % (b"x" * (LARGE_BYTES + 10_000))
    async with opened() as socket:
        large = socket.connection._permit._large
        large._free = 0
        socket.connection.start()
        socket.client.send(text)
        await eventually(lambda: large.has_waiting)
        assert socket.texts == []
        large.give_back()
        await eventually(lambda: socket.texts == [text])
        await eventually(lambda: large._free == 1)


async def test_the_end_is_reported_once_and_frees_what_the_connection_held() -> None:
    async with opened() as socket:
        ends: list[bool] = []
        socket.connection.on_lost = lambda: ends.append(socket.connection.is_lost)
        socket.connection.start()
        large = socket.connection._permit._large
        free = large._free
        socket.client.writer.write(masked(b"x" * (2 * LARGE_BYTES))[: LARGE_BYTES + 1000])
        await eventually(lambda: large._free == free - 1)
        socket.client.writer.transport.abort()
        await eventually(lambda: ends == [True])
        assert large._free == free
        assert socket.connection.is_closing
