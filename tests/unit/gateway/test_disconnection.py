"""Work for an answer is cancelled when its client disconnects, and only then."""

import asyncio
import socket

import pytest
from aiohttp import web

from eventhub.gateway.disconnection import is_disconnected, while_connected
from tests.subscribing import eventually
from tests.unit.gateway.serving import connected, handling

GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Work:
    """A handler that works until `finish` is set."""

    def __init__(self) -> None:
        self.finish = asyncio.Event()
        self.started = False
        self.ended: str | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.started = True
        try:
            async with while_connected(request):
                await self.finish.wait()
            self.ended = "finished"
        except ConnectionResetError:
            assert is_disconnected(request)
            self.ended = "cancelled"
        return web.Response(text="done")


@pytest.mark.parametrize("how", ["close", "half-close"])
async def test_work_ends_when_its_client_leaves(how: str) -> None:
    work = Work()
    async with handling(work.handle) as port, connected(port) as client:
        client.writer.write(GET)
        await eventually(lambda: work.started)
        if how == "close":
            client.writer.close()
        else:
            client.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        await eventually(lambda: work.ended)
    assert work.ended == "cancelled"


async def test_work_for_a_client_that_stays_is_finished() -> None:
    work = Work()
    async with handling(work.handle) as port, connected(port) as client:
        client.writer.write(GET)
        await asyncio.sleep(0.25)  # longer than two polls of the socket
        work.finish.set()
        assert b" 200 " in await client.head()
    assert work.ended == "finished"


async def test_a_timeout_within_the_work_is_its_own() -> None:
    raised = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        with pytest.raises(TimeoutError):
            async with while_connected(request):
                raise TimeoutError
        raised.set()
        return web.Response()

    async with handling(handle) as port, connected(port) as client:
        client.writer.write(GET)
        assert b" 200 " in await client.head()
    assert raised.is_set()
