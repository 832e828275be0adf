"""Bodies are read with deadlines and limits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from eventhub.columns import Column, Columns
from eventhub.errors import EventHubError
from eventhub.gateway import body as body_module
from eventhub.gateway import refusal
from eventhub.gateway.body import BYTES_A_SECOND, CLIENT_BODIES, SHARES, Bodies, expect
from eventhub.gateway.large import IN_PROGRESS_BYTES, LargeMessages
from eventhub.gateway.server import Runner

DEADLINE_SECONDS = 40.0
MAX = 64 << 10
COLUMNS = Columns([Column("body")])


class Site:
    """A server that answers with the messages of a body, once `go` is set."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.port = 0
        self.go = asyncio.Event()
        self.go.set()
        self.read = asyncio.Semaphore(0)
        """Released for each body that was read."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        client = request.headers.get("Client", "somebody")
        try:
            with self._bodies.counted(client) as reading:
                body = await reading.messages(request, COLUMNS)
                self.read.release()
                await self.go.wait()
                return web.Response(body=msgspec.json.encode(body.messages))
        except EventHubError as error:
            return refusal.answer(error)

    async def send(self, *parts: bytes | float, client: str = "somebody", length: int = 0) -> bytes:
        """Send parts of a body with pauses between them; return the answer."""
        length = length or sum(len(part) for part in parts if isinstance(part, bytes))
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nClient: %s\r\n"
            b"Content-Length: %d\r\n\r\n" % (client.encode(), length)
        )
        for part in parts:
            if isinstance(part, bytes):
                writer.write(part)
                await writer.drain()
            else:
                await asyncio.sleep(part)
        async with asyncio.timeout(DEADLINE_SECONDS):
            answer = await reader.readuntil(b"\r\n\r\n")
            size = int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            answer += await reader.readexactly(size)
        writer.close()
        return answer


@asynccontextmanager
async def serving(bodies: Bodies) -> AsyncIterator[Site]:
    site = Site(bodies)
    app = web.Application()
    app.router.add_route("*", "/", site.handle, expect_handler=expect)
    runner = Runner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()


def message(size: int) -> bytes:
    return b'{"body": "%s"}' % (b"x" * (size - 12))


async def test_a_body_that_does_not_arrive_is_refused() -> None:
    async with serving(Bodies(MAX, seconds=0.1)) as site:
        answer = await site.send(b'{"body": ', length=100)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'"too_slow"' in answer
        assert b'"retry":true' in answer


async def test_a_body_that_arrives_a_byte_at_a_time_is_refused() -> None:
    async with serving(Bodies(MAX, seconds=0.1)) as site:
        dribble: list[bytes | float] = [b" ", 0.02] * 25
        assert b'"too_slow"' in await site.send(*dribble, length=1000)


async def test_a_large_body_has_more_time_while_it_arrives() -> None:
    async with serving(Bodies(MAX, seconds=0.1)) as site:
        body = message(3 * BYTES_A_SECOND)
        answer = await site.send(body[: 2 * BYTES_A_SECOND], 0.3, body[2 * BYTES_A_SECOND :])
        assert answer.startswith(b"HTTP/1.1 200")


async def test_bodies_in_progress_are_bounded_for_each_client_and_in_all() -> None:
    async with serving(Bodies(MAX, client_bytes=0)) as site:
        site.go.clear()
        body = message(MAX)
        async with asyncio.TaskGroup() as group:
            held = []
            for client in range(SHARES):
                for _ in range(CLIENT_BODIES):
                    held.append(group.create_task(site.send(body, client=f"{client}")))
                    async with asyncio.timeout(DEADLINE_SECONDS):
                        await site.read.acquire()
                if client == 0:
                    refused = await site.send(b'{"body": "small"}', client="0")
                    assert refused.startswith(b"HTTP/1.1 503")
                    assert b'"busy"' in refused
                    assert b"Retry-After: 1" in refused
            assert b'"busy"' in await site.send(b'{"body": "small"}', client="another")
            site.go.set()
        assert all(task.result().startswith(b"HTTP/1.1 200") for task in held)
        assert (await site.send(body, client="0")).startswith(b"HTTP/1.1 200")


async def _waiting(large: LargeMessages) -> None:
    while not large.has_waiting:
        await asyncio.sleep(0.001)


async def test_a_large_body_waits_for_those_before_it_and_a_small_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = LargeMessages(IN_PROGRESS_BYTES)  # one at a time
    async with serving(Bodies(MAX, large=large)) as site, asyncio.TaskGroup() as group:
        site.go.clear()
        bodies = []
        for _ in range(2):
            bodies.append(group.create_task(site.send(message(MAX))))
            async with asyncio.timeout(DEADLINE_SECONDS):
                await (site.read.acquire() if len(bodies) == 1 else _waiting(large))
        small = group.create_task(site.send(message(100)))
        async with asyncio.timeout(DEADLINE_SECONDS):
            await site.read.acquire()
        monkeypatch.setattr(body_module, "LARGE_SECONDS", 0.0)
        assert b'"busy"' in await site.send(message(MAX))
        assert site.read.locked()
        site.go.set()
        for task in (*bodies, small):
            assert (await task).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "broken",
    [
        lambda: (b"{", 0.0),
        lambda: (b"not json",),
        lambda: (b"x" * (MAX + 1),),
    ],
)
async def test_failed_bodies_are_not_counted_forever(
    broken: Callable[[], tuple[bytes | float, ...]],
) -> None:
    async with serving(Bodies(MAX, seconds=0.05, client_bytes=0)) as site:
        for _ in range(3 * CLIENT_BODIES):
            await site.send(*broken(), length=MAX if broken()[0] == b"{" else 0)
        assert (await site.send(message(MAX))).startswith(b"HTTP/1.1 200")
