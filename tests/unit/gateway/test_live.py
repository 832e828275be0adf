"""A hub that stops closes all connections at once, and waits for none that does not read."""

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from eventhub import deadlines
from eventhub.channel import Endpoint
from eventhub.config import Config, MessageEndpoint, Server
from eventhub.feed import Feed
from eventhub.gateway.admin import Condition
from eventhub.gateway.gateway import Gateway
from eventhub.memory import MemoryStream
from tests.builders import channel
from tests.subscribing import MemorySnapshots, append, eventually

HANDSHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_a_client_that_reads_nothing_delays_no_other_at_a_stop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(deadlines, "CONNECTION_SECONDS", 0.3)
    monkeypatch.setattr(deadlines, "REQUESTS_SECONDS", 0.3)
    endpoint = MessageEndpoint(name="chat", pattern="/chat", table="chat")
    config = Config(
        path=tmp_path / "eventhub.yaml",
        data=tmp_path,
        server=Server(host="127.0.0.1", port=0),
        endpoints=(endpoint,),
    )
    stream, stop, ready = MemoryStream(channel()), asyncio.Event(), asyncio.Event()
    feed = Feed(stream, 0)
    gateway = Gateway(
        config,
        [Endpoint(endpoint, stream.channel)],
        {"chat": feed},
        MemorySnapshots(stream),
        lambda: Condition([], []),
        {},
    )
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
        following = group.create_task(feed.run())
        running = group.create_task(gateway.run(stop, ready.set))
        await ready.wait()
        port = int(gateway.url.rpartition(":")[2])
        deaf, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(HANDSHAKE)
        await deaf.readuntil(b"\r\n\r\n")
        async with session.ws_connect(gateway.url + "/chat", max_msg_size=0) as good:
            for number in range(20):  # more than the kernel's buffers take
                await append(stream, _method="POST", id=f"{number}", text="x" * 1_000_000)
                await good.receive(timeout=10)
            before = time.monotonic()
            stop.set()
            closed = await good.receive(timeout=10)
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1012)
            assert time.monotonic() - before < 2
        await eventually(running.done)
        following.cancel()
        writer.close()
