"""Whatever one client does, or does not do, the others notice nothing and the hub stays small."""

import asyncio
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from itertools import repeat
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
import psutil
import pytest

from tests.e2e.hub import Hub
from tests.faults.conftest import HubStarter
from tests.faults.load import CONFIG, Load, read_log, until
from tests.faults.proxy import Proxy

STALLED_SECONDS = 2.0
GROWTH_BYTES = 96 << 20
"""That the hub may grow by under attack, its own working memory and DuckDB's included."""
PAD_BYTES = 8000
"""Of a row: a socket that is not read is full after some hundred."""
ATTACK_SECONDS = 0.002
"""Between two frames, or a thousand empty ones: the test has to share the machine with the hub."""
QUICK_CONFIG = CONFIG.replace("heartbeat: 0.3", f"heartbeat: 0.3, stalled_after: {STALLED_SECONDS}")
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
RECEIVE_BYTES = 8192
"""What the kernel takes for a client that does not read."""
MASK = b"\0\0\0\0"


@pytest.fixture
def hub(start_hub: HubStarter) -> Hub:
    return start_hub(QUICK_CONFIG)


def frame(first: int, payload: bytes, *, length: bytes = b"", masked: bool = True) -> bytes:
    """Return a frame (RFC 6455, section 5.2); `length` claims another one than the payload's."""
    if not length:
        size = len(payload)
        length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    return bytes([first, length[0] | 0x80 * masked]) + length[1:] + MASK * masked + payload


ATTACKS: dict[str, tuple[bytes, bytes]] = {
    "pings": (b"", frame(0x89, b"x" * 125)),
    "pongs": (b"", frame(0x8A, b"x" * 125)),
    "half-a-frame": (frame(0x81, b"{", length=b"\x7f" + (1 << 19).to_bytes(8, "big")), b""),
    "unmasked": (b"", frame(0x81, b"{", masked=False)),
    "endless-fragments": (frame(0x01, b'{"body": "'), frame(0x00, b"x" * 60_000)),
    "empty-fragments": (frame(0x01, b""), frame(0x00, b"") * 1000),
    "huge-frame": (frame(0x81, b"", length=b"\x7f" + (1 << 62).to_bytes(8, "big")), b"x" * 65536),
    "reserved-bits": (b"", frame(0xF1, b"{}")),
    "unknown-opcode": (b"", frame(0x83, b"{}")),
    "long-ping": (b"", frame(0x89, b"x" * 126)),
    "garbage": (b"", bytes(range(255, -1, -1)) * 16),
    "no-json": (b"", frame(0x81, b"[[[[") * 100),
    "binary": (b"", frame(0x82, b"\xff" * 1000)),
}
"""What is sent once, and then again and again until the hub has had enough."""
ARE_CLOSED = {
    "unmasked",
    "endless-fragments",
    "huge-frame",
    "reserved-bits",
    "unknown-opcode",
    "long-ping",
    "garbage",
}
"""Those that break a limit, or RFC 6455 so that it cannot be read on."""


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Streams]:
    """Connect as a client for which the kernel takes little."""
    parts = urlsplit(url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, (parts.hostname, parts.port))
    reader, writer = await asyncio.open_connection(sock=client)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Streams]:
    """Open a WebSocket by hand."""
    parts = urlsplit(url)
    request = HANDSHAKE.format(path=f"{parts.path}?{parts.query}", host=parts.netloc)
    async with connected(url) as (reader, writer):
        writer.write(request.encode())
        async with asyncio.timeout(40):
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        yield reader, writer


class Attack:
    """Sends as long as the hub takes it, and reads nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_closed = False
        self._begin, self._again = ATTACKS[name]

    async def run(self, url: str) -> None:
        async with opened(f"{url}?_since=now") as (_, writer):
            with suppress(OSError):
                writer.write(self._begin)
                for data in repeat(self._again):
                    writer.write(data)
                    await writer.drain()
                    await asyncio.sleep(ATTACK_SECONDS)
                    if writer.is_closing():
                        break
            self.is_closed = True


def memory(hub: Hub) -> int:
    """Return the resident bytes of a hub, without its broker's."""
    assert hub.process is not None
    return int(psutil.Process(hub.process.pid).memory_info().rss)


async def test_other_clients_do_not_notice_malicious_ones(hub: Hub) -> None:
    load, before = Load(f"{hub.url}/rows"), memory(hub)
    attacks = [Attack(name) for name in ATTACKS]
    async with load.running():
        await load.goes_on()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attack.run(load.urls[0])) for attack in attacks]
            await until(lambda: {a.name for a in attacks if a.is_closed} >= ARE_CLOSED)
            for _ in range(2):
                await load.goes_on()
            for task in tasks:
                task.cancel()
    assert load.is_connected_as_before
    assert not load.refusals
    assert memory(hub) - before < GROWTH_BYTES


async def connections(hub: Hub) -> int:
    """Return how many subscriptions are open, by /metrics."""
    async with aiohttp.ClientSession() as session, session.get(f"{hub.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    prefix = "eventhub_connections{"
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith(prefix))


async def until_connections(hub: Hub, is_enough: Callable[[int], bool], load: Load) -> None:
    """Wait for a number of subscriptions, while writing continues."""
    async with asyncio.timeout(30):
        while not is_enough(await connections(hub)):
            await load.goes_on(20)


async def test_dead_subscribers_are_dropped_and_others_do_not_notice(hub: Hub) -> None:
    """They never read: not a byte is taken, no ping answered, and no close frame either."""
    load = Load(f"{hub.url}/rows", pad_bytes=PAD_BYTES)
    async with load.running(), AsyncExitStack() as dead:
        await load.goes_on()
        alive = await connections(hub)
        for _ in range(10):
            _, writer = await dead.enter_async_context(opened(load.urls[0]))
            writer.transport.pause_reading()  # type: ignore[attr-defined] # a socket's can
        assert await connections(hub) == alive + 10
        await until_connections(hub, lambda count: count == alive, load)
    assert load.is_connected_as_before
    assert not load.refusals


def sockets(hub: Hub) -> int:
    """Return how many connections of clients a hub has."""
    assert hub.process is not None
    port = urlsplit(hub.url).port
    found = psutil.Process(hub.process.pid).net_connections("tcp")
    return sum(each.laddr.port == port and bool(each.raddr) for each in found)


async def test_a_client_that_does_not_read_its_answer_is_dropped_and_a_slow_one_gets_it(
    hub: Hub,
) -> None:
    """The rows are more than a socket holds, so the hub waits for its client."""
    rows = [{"id": f"r{n}", "pad": "x" * PAD_BYTES} for n in range(2000)]
    request = f"GET /rows HTTP/1.1\r\nHost: {urlsplit(hub.url).netloc}\r\n\r\n".encode()
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stalled:
        for start in range(0, len(rows), 100):
            answer = await session.post(f"{hub.url}/rows", json=rows[start : start + 100])
            assert answer.status == 200
        for _ in range(3):
            _, writer = await stalled.enter_async_context(connected(hub.url))
            writer.transport.pause_reading()  # type: ignore[attr-defined] # a socket's can
            writer.write(request)
        async with session.get(f"{hub.url}/rows") as slow:
            assert sockets(hub) >= 4
            found = b""
            async for part in slow.content.iter_chunked(1 << 20):
                found += part
                await asyncio.sleep(STALLED_SECONDS / 4)
        assert len(msgspec.json.decode(found)) == len(rows)
        await until(lambda: sockets(hub) <= 1)
    assert '"error"' not in hub.stderr()


async def test_a_subscriber_that_pauses_catches_up(start_hub: HubStarter) -> None:
    """It is behind by far more than what the hub keeps in memory for a client."""
    hub = await asyncio.to_thread(start_hub)
    load = Load(f"{hub.url}/rows", pad_bytes=PAD_BYTES)
    slow = load.subscribers[1:3]
    async with load.running():
        for subscriber in slow:
            subscriber.is_taking.clear()
        await load.goes_on(700)
        assert load.subscribers[0].reached > slow[0].reached + 300
        for subscriber in slow:
            subscriber.is_taking.set()
        await load.goes_on()
    assert load.is_connected_as_before


async def test_many_clients_do_not_notice_those_that_pause_or_vanish(
    start_hub: HubStarter,
) -> None:
    """All of them are written to at once, for they ask for the same."""
    hub = await asyncio.to_thread(start_hub)
    load = Load(f"{hub.url}/rows", pad_bytes=PAD_BYTES, queries=("",) * 24)
    async with load.running(), AsyncExitStack() as vanishing:
        for subscriber in load.subscribers[4:8]:
            subscriber.is_taking.clear()
        for _ in range(8):
            _, writer = await vanishing.enter_async_context(opened(f"{load.urls[0]}?_since=now"))
            await load.goes_on(50)
            reset = struct.pack("ii", 1, 0)  # no close frame: everything in flight is thrown away
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            writer.transport.abort()
        await load.goes_on(300)
        for subscriber in load.subscribers[4:8]:
            subscriber.is_taking.set()
        await load.goes_on()
    assert load.is_connected_as_before


@contextmanager
def tail(url: str, out: Path) -> Iterator[psutil.Process]:
    """Run `eventhub tail --log`."""
    command = [sys.executable, "-m", "eventhub", "tail", url, "--log"]
    with out.open("wb") as file, subprocess.Popen(command, stdout=file) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.kill()


async def test_a_client_process_that_is_stopped_resumes_where_it_was(
    hub: Hub, tmp_path: Path
) -> None:
    """It pauses for longer than the hub waits for a client, so it has to reconnect."""
    load, out = Load(f"{hub.url}/rows", pad_bytes=PAD_BYTES), tmp_path / "tail.txt"
    with tail(load.urls[0], out) as client:
        async with load.running():
            await load.goes_on()
            await until(lambda: out.stat().st_size > 0)
            client.suspend()
            alive = await connections(hub) - 1
            await until_connections(hub, lambda count: count == alive, load)
            client.resume()
        history = await read_log(load.urls[0])
        await until(lambda: out.read_bytes().count(b"\n") >= len(history))
    printed = [msgspec.json.decode(line) for line in out.read_bytes().splitlines()]
    assert printed == history


@pytest.mark.parametrize("place", ["--log", "--since=earliest", "--since=-1900"])
async def test_an_interrupted_replay_of_the_log_resumes_where_it_was(hub: Hub, place: str) -> None:
    """Before `_ready`: the client's output is not read, so it takes no more."""
    port = urlsplit(hub.url).port
    assert port is not None
    rows = [{"id": f"r{n}", "pad": "x" * PAD_BYTES} for n in range(2000)]
    async with aiohttp.ClientSession() as session:
        for start in range(0, len(rows), 100):
            answer = await session.post(f"{hub.url}/rows", json=rows[start : start + 100])
            assert answer.status == 200
    async with Proxy(port).running() as proxy:
        url = proxy.url.replace("nats", "http")
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "eventhub", "tail", f"{url}/rows", place),
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 15,
        )
        try:
            assert client.stdout is not None
            lines = [await client.stdout.readline()]
            proxy.abort()
            wanted = 1900 if "1900" in place else len(rows)
            while len(lines) < wanted:
                lines.append(await client.stdout.readline())
        finally:
            client.kill()
            await client.wait()
    first = len(rows) - wanted + 1
    sequences = [msgspec.json.decode(line)["_seq"] for line in lines]
    assert sequences == list(range(first, len(rows) + 1))
