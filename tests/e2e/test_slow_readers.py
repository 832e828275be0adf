"""Readers that take next to nothing hold little of the disk, and are cut when others wait."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
import psutil
import pytest

from tests.e2e.client import V1, get, request
from tests.e2e.hub import Hub
from tests.e2e.little_room import EACH_BYTES

CONFIG = """
server: {max_message: 2000000}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs: {columns: {topic: TEXT, body: TEXT}}
"""
pytestmark = pytest.mark.timeout(150)  # a slow, shared machine needs more than a minute
ROWS, FEW, WIDTH = 800, 7, 20_000
TABLE_BYTES = ROWS * WIDTH
DRIBBLERS = 12
DEADLINE_SECONDS = 30.0
SSE = {"Accept": "text/event-stream"}
STEPS_BYTES = 8 << 20
"""For what two reads produce between two checks, and for what rows hold besides their text."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file, with a table larger than any socket buffer."""
    folder: Path = tmp_path_factory.mktemp("hub")
    (folder / "eventhub.yaml").write_text(CONFIG)
    hub = Hub(folder / "eventhub.yaml", folder, [], ["tests.e2e.little_room"])
    hub.start()
    try:
        asyncio.run(fill(f"{hub.url}/notes"))
        yield hub
    finally:
        hub.kill()


async def fill(url: str) -> None:
    for start in range(0, ROWS, 40):
        rows = [
            {"id": str(n), "topic": "few" if n < FEW else "many", "body": f"{n:<{WIDTH}}"}
            for n in range(start, start + 40)
        ]
        assert (await request("POST", url, json=rows))[0] == 200
    assert len(await get(url, topic="few")) == FEW


def held_bytes(hub: Hub) -> int:
    """Return the size of the files without a name of a hub."""
    assert hub.process is not None
    found = 0
    for process in (child := psutil.Process(hub.process.pid), *child.children(recursive=True)):
        folder = Path(f"/proc/{process.pid}/fd")
        for descriptor in folder.iterdir():
            try:
                if os.readlink(descriptor).endswith("(deleted)"):
                    found += descriptor.stat().st_size
            except FileNotFoundError:
                continue
    return found


@asynccontextmanager
async def dribbling(hub: Hub, number: int, surface: str) -> AsyncIterator[asyncio.StreamReader]:
    """Ask for nearly the whole table, unlike the others, and read no more than the first byte."""
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    own.setblocking(False)
    parts = urlsplit(hub.url)
    await asyncio.get_running_loop().sock_connect(own, (parts.hostname, parts.port))
    reader, writer = await asyncio.open_connection(sock=own, limit=1 << 16)
    extra = {
        "get": "",
        "sse": "Accept: text/event-stream\r\n",
        "websocket": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {V1}\r\n",
    }[surface]
    target = f"/notes?topic!=x{surface}{number}"
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n{extra}\r\n".encode())
    await writer.drain()
    try:
        yield reader
    finally:
        writer.close()


async def cut(hub: Hub, surface: str) -> list[bytes]:
    """Fill the room with slow readers, read at the same time, and return what a cut one got."""
    async with AsyncExitStack() as held, asyncio.timeout(3 * DEADLINE_SECONDS):
        await emptied(hub)
        before = await metric_of_cut(hub)
        readers = []
        for number in range(DRIBBLERS):
            readers.append(await held.enter_async_context(dribbling(hub, number, surface)))
            assert held_bytes(hub) <= EACH_BYTES + TABLE_BYTES + STEPS_BYTES
        assert len(await get(f"{hub.url}/notes", topic="few")) == FEW
        for order in ("topic", "-topic", "body"):
            assert len(await get(f"{hub.url}/notes", _sort=order)) == ROWS
            assert held_bytes(hub) <= EACH_BYTES + TABLE_BYTES + STEPS_BYTES
        while await metric_of_cut(hub) == before:  # together they want more room than there is
            await asyncio.sleep(0.02)
        return [await first_cut(readers)]


async def emptied(hub: Hub) -> None:
    """Wait until nothing is held for readers of the previous test; they may still be cut off."""
    while held_bytes(hub) > STEPS_BYTES:
        await asyncio.sleep(0.02)


async def first_cut(readers: list[asyncio.StreamReader]) -> bytes:
    """Return what one that was cut has got: any may be, and a socket that is not cut stays open."""
    async with asyncio.TaskGroup() as group:
        pending = {group.create_task(reader.read(-1)) for reader in readers}
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for received in (task.result() for task in done):
                if len(received) < TABLE_BYTES and b"too_many_reads" not in received:
                    for task in pending:
                        task.cancel()
                    return received
    pytest.fail("the hub has cut none of them")


async def metric_of_cut(hub: Hub) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{hub.url}/metrics") as answer:
        text = await answer.text()
    lines = [line for line in text.splitlines() if line.startswith("eventhub_slow_readers_cut")]
    return sum(float(line.split()[-1]) for line in lines if "created" not in line)


async def test_a_get_that_is_read_too_slowly_is_cut_off(hub: Hub) -> None:
    before = await metric_of_cut(hub)
    [received] = await cut(hub, "get")
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Transfer-Encoding: chunked" in received
    assert len(received) < TABLE_BYTES
    assert not received.endswith(b"\r\n0\r\n\r\n")
    assert await metric_of_cut(hub) > before
    assert "request_failed" not in hub.stderr()


async def test_a_websocket_that_is_read_too_slowly_gets_an_error_and_is_closed(hub: Hub) -> None:
    [received] = await cut(hub, "websocket")
    assert len(received) < TABLE_BYTES
    assert received[-len(b"..too_slow") :].endswith(b"\x11\x3atoo_slow")  # 4410
    error = msgspec.json.decode(
        received[received.rindex(b'{"_error"') : received.rindex(b"}}") + 2]
    )
    assert (error["_error"]["code"], error["_error"]["retry"]) == ("slow_reader", True)
    assert "_since" in error["_error"]["message"]


async def test_a_stream_that_is_read_too_slowly_ends_with_an_error(hub: Hub) -> None:
    [received] = await cut(hub, "sse")
    assert len(received) < TABLE_BYTES
    last = received[received.rindex(b"data: ") :]
    error = msgspec.json.decode(last[len(b"data: ") : last.index(b"\n")])
    assert error["_error"]["code"] == "slow_reader"
    assert b'"_ready"' not in received


async def test_a_slow_reader_is_not_cut_off_while_no_other_waits(hub: Hub) -> None:
    """Also for longer than a slow one has while others wait."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        await emptied(hub)
    before = await metric_of_cut(hub)
    async with dribbling(hub, 100, "get") as reader:
        got = len(await reader.read(1))
        while held_bytes(hub) < TABLE_BYTES / 2:
            await asyncio.sleep(0.02)
        for order in ("topic", "-topic", "body"):
            assert len(await get(f"{hub.url}/notes", _sort=order)) == ROWS
            while held_bytes(hub) > TABLE_BYTES + STEPS_BYTES:  # its room is given back later
                await asyncio.sleep(0.02)
        await asyncio.sleep(1.5)  # more than its patience: what would cut it has had its time
        async with asyncio.timeout(DEADLINE_SECONDS):
            while got < TABLE_BYTES:
                part = await reader.read(1 << 20)
                assert part, f"it ended after {got}"
                got += len(part)
    assert await metric_of_cut(hub) == before
