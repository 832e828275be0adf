"""Fifty clients that read nothing of a large table cost little more than one."""

from pathlib import Path

from tests.snapshotting import fill, run

SCRIPT = """
import asyncio, socket, sys
from pathlib import Path
import aiohttp, psutil
from eventhub.memory_signals import MemorySignals
from eventhub.channel import Endpoint
from eventhub.config import Config, MessageEndpoint, Server
from eventhub.feed import Feed
from eventhub.gateway.front import Front
from eventhub.gateway.gateway import Gateway
from eventhub.gateway.sources import Sources
from eventhub.gateway.site import Site
from eventhub.gateway.sockets import Sockets
from eventhub.logs import configure
from eventhub.memory import MemoryStream
from eventhub.snapshots import TableFiles
from eventhub.metrics import SNAPSHOTS
from projections.projector import Projector
from projections.snapshot import DuckSnapshots
from projections.store import Store
from tests.snapshotting import CHAT
from tests.builders import logins
from tests.unit.gateway.serving import alone

configure("warning", "json")
HANDSHAKE = (
    b"GET /chat HTTP/1.1\\r\\nHost: [::1]\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
    b"Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n"
)

def megabytes():
    return psutil.Process().memory_info().rss >> 20

async def connected(port):
    client = socket.socket()
    client.setblocking(False)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, HANDSHAKE)
    return client

async def stalled(port, count):
    clients = [await connected(port) for _ in range(count)]
    async with asyncio.timeout(20):
        for client in clients:  # the handshake, and the beginning of the first row
            size = 0
            while size < 1000:
                size += len(await asyncio.get_running_loop().sock_recv(client, 1000))
    return clients

async def main(path):
    stream, stop, ready = MemoryStream(CHAT), asyncio.Event(), asyncio.Event()
    endpoint = MessageEndpoint(name="chat", pattern="/chat", table="chat")
    server = Server(host="127.0.0.1", port=0)
    config = Config(path=path / "e.yaml", data=path, server=server, endpoints=(endpoint,))
    front = Front.open(Sockets.bound(server), config)
    async with Store(path / "p", [CHAT]) as store, front as door, asyncio.TaskGroup() as group:
        snapshots = DuckSnapshots(store, [Projector(store, stream)])
        feed = Feed(stream, 0)
        endpoints = [Endpoint(endpoint, CHAT)]
        sources = Sources(snapshots, TableFiles(), MemorySignals(), alone(path))
        gateway = Gateway(Site(config, endpoints, logins()), {"chat": feed}, sources, list)
        following = group.create_task(feed.run())
        group.create_task(gateway.run(door, stop, ready.set))
        await ready.wait()
        port = int(door.url.rpartition(":")[2])
        clients = await stalled(port, 1)
        async with aiohttp.ClientSession() as session, session.get(door.url + "/chat") as rows:
            size = 0
            async for piece in rows.content.iter_any():
                size += len(piece)
        one = megabytes()
        clients += await stalled(port, 50)
        print(size >> 20, one, megabytes(), int(SNAPSHOTS.labels("chat")._value.get()))
        for client in clients:
            client.close()
        stop.set()
        following.cancel()

asyncio.run(main(Path(sys.argv[1])))
"""


def test_fifty_clients_that_read_nothing_cost_little_more_than_one(tmp_path: Path) -> None:
    fill(tmp_path / "p", 90_000)
    size, one, fifty, snapshots = map(int, run(SCRIPT, tmp_path)[:4])
    assert size > 90  # MB
    assert snapshots <= 3, "of one client, of the GET, and of the fifty"
    assert fifty < one + 50 * 1.5 + 64, "MB: sockets' buffers, and what all snapshots may keep"
