"""However many connections arrive and say nothing, the hub continues to serve."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.e2e.client import connect, get, request
from tests.e2e.hub import Hub
from tests.waiting import until

CONFIG = """
server: {heartbeat: 600}
url:
  rows:
    pattern: /rows
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}}
  private:
    pattern: /private
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}, auth: true}
"""
LIMIT = 256
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HALF_A_HEAD = b"GET /rows HTTP/1.1\r\nHost: x\r\n"


@contextmanager
def running(folder: Path, config: str = CONFIG, limit: int = LIMIT) -> Iterator[Hub]:
    (folder / "eventhub.yaml").write_text(config)
    hub = Hub(folder / "eventhub.yaml", folder, [], ("tests.e2e.few_descriptors", str(limit)))
    hub.start()
    try:
        yield hub
    finally:
        hub.kill()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub with few descriptors."""
    with running(tmp_path) as started:
        yield started


def address_of(hub: Hub) -> tuple[str, int]:
    parts = urlsplit(hub.url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


class Flood:
    """Connections that say something, or nothing, and wait."""

    def __init__(self) -> None:
        self.opened: list[socket.socket] = []

    def __call__(
        self, hub: Hub, count: int, said: bytes = b"", source: str = "127.0.0.1"
    ) -> list[socket.socket]:
        opened = []
        for _ in range(count):
            one = socket.create_connection(address_of(hub), 10, source_address=(source, 0))
            self.opened.append(one)
            one.sendall(said)
            opened.append(one)
        return opened

    def close(self) -> None:
        for one in self.opened:
            one.close()


@pytest.fixture
def flood() -> Iterator[Flood]:
    """A flood that ends with the test."""
    flood = Flood()
    yield flood
    flood.close()


def descriptors(hub: Hub) -> int:
    assert hub.process is not None
    return psutil.Process(hub.process.pid).num_fds()


@pytest.mark.parametrize("said", [b"", HALF_A_HEAD], ids=["silent", "half a head"])
async def test_connections_without_a_request_do_not_end_the_hub_and_new_clients_are_served(
    hub: Hub, flood: Flood, said: bytes
) -> None:
    async with connect(f"{hub.url}/rows?_since=now") as client:
        await client.replay()
        await asyncio.to_thread(flood, hub, 2 * LIMIT, said)
        await asyncio.to_thread(until, lambda: "door_shut" in hub.stderr())
        assert descriptors(hub) <= LIMIT - 24  # the reserve is for the broker, tables and files
        assert (await client.write({"body": "meanwhile"}))["_ack"] == "ask"
        # They are still open, and a new client is served: silent connections are closed first.
        async with asyncio.timeout(50):
            assert [row["body"] for row in await get(f"{hub.url}/rows")] == ["meanwhile"]
        flood.close()
    await asyncio.to_thread(until, lambda: "door_open" in hub.stderr())
    assert await asyncio.to_thread(hub.stop) == 0


async def test_the_hub_reports_that_it_accepts_no_connections(hub: Hub, flood: Flood) -> None:
    """The answer comes over a connection that was open before."""
    reader, writer = await asyncio.open_connection(*address_of(hub))
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert b"200" in await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(len("ready\n"))
    await asyncio.to_thread(flood, hub, 2 * LIMIT)
    await asyncio.to_thread(until, lambda: "door_shut" in hub.stderr())
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert b"503" in await reader.readuntil(b"\r\n\r\n")
    assert b"descriptors" in await reader.readline()
    writer.close()


def is_closed(one: socket.socket) -> bool:
    try:
        return one.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_connection_without_a_request_is_closed(hub: Hub, flood: Flood) -> None:
    """One with half a request has longer: tests/unit/gateway/test_arrivals.py."""
    before = time.monotonic()
    (one,) = flood(hub, 1, b"")
    one.settimeout(45)
    assert is_closed(one)
    assert time.monotonic() - before > 8


def test_one_address_has_no_more_than_its_share(tmp_path: Path, flood: Flood) -> None:
    config = CONFIG.replace("{heartbeat: 600}", "{max_connections_per_address: 5}")
    with running(tmp_path, config) as hub:
        opened = flood(hub, 5)
        (late,) = flood(hub, 1)
        late.settimeout(8)
        refused = late.recv(1000)
        assert refused.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert b"\r\nRetry-After: 5\r\n" in refused
        (other,) = flood(hub, 1, HEALTHZ, source="127.0.0.2")
        assert b"200" in other.recv(100)
        opened.pop().close()

        def is_let_in() -> bool:
            try:
                (again,) = flood(hub, 1, HEALTHZ)
                return b"200" in again.recv(100)
            except OSError:
                return False

        until(is_let_in, seconds=40)


async def test_a_client_that_is_refused_over_and_over_waits_and_others_do_not(hub: Hub) -> None:
    """The same address, another path: it is served as ever."""
    codes = []
    for _ in range(2000):
        reader, writer = await asyncio.open_connection(*address_of(hub))
        writer.write(b"GET /private HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        codes.append((await reader.read(12))[9:12])
        writer.close()
        if codes[-1] == b"503":
            break
    assert codes[:100] == [b"401"] * 100
    assert codes[-1] == b"503"
    assert (await request("POST", f"{hub.url}/rows", json={"body": "let in"}))[0] == 201
