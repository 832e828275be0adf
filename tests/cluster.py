"""Cluster: three real nats-servers on this machine that form one JetStream cluster."""

import asyncio
import os
import signal
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from pathlib import Path

import msgspec
import nats
from nats.aio.client import Client
from nats.js.errors import NotFoundError, ServiceUnavailableError

from eventhub.errors import EventHubError
from eventhub.jetstream import JetStreamLog
from tests.builders import channel
from tests.ports import free_ports

SERVERS = 3
DEADLINE_SECONDS = 40.0
NATS_SERVER = Path(sysconfig.get_path("scripts")) / "nats-server"


class Cluster:
    """Servers by number; each can be ended and started again on its store."""

    login: tuple[str | None, str | None] = (None, None)
    """User and password."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ports = free_ports(2 * SERVERS)
        self._clients, self._routes = ports[:SERVERS], ports[SERVERS:]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def urls(self) -> list[str]:
        """Of all servers."""
        return [self.url(number) for number in range(SERVERS)]

    def url(self, number: int) -> str:
        """Of one server."""
        return f"nats://127.0.0.1:{self._clients[number]}"

    @property
    def pids(self) -> list[int]:
        """Of the servers that run."""
        return [process.pid for process in self._processes.values()]

    def start(self, number: int) -> None:
        """Start a server."""
        command, environment = self.command(number)
        with self.log_of(number).open("ab") as log:
            self._processes[number] = subprocess.Popen(
                command, stderr=log, env={**os.environ, **environment}
            )

    def command(self, number: int) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        """Return what starts a server: arguments, and variables of its environment."""
        folder = self.folder_of(number)
        config = {
            "server_name": f"n{number}",
            "listen": f"127.0.0.1:{self._clients[number]}",
            "max_payload": 8 << 20,
            "jetstream": {"store_dir": str(folder), "sync_interval": "always"},
            "cluster": {
                "name": "eventhub",
                "listen": f"127.0.0.1:{self._routes[number]}",
                "routes": [f"nats://127.0.0.1:{port}" for port in self._routes],
            },
        }
        path = folder / "nats.conf"
        path.write_bytes(msgspec.json.encode(config))
        return [NATS_SERVER, "-c", path], {}

    def folder_of(self, number: int) -> Path:
        """Return the folder of a server, with its log."""
        folder = self._folder / f"n{number}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log_of(self, number: int) -> Path:
        """Return the file to which a server logs, over all its starts."""
        return self.folder_of(number) / "nats.log"

    def pid(self, number: int) -> int:
        """Return the id of the process of a server that runs."""
        return self._processes[number].pid

    def connect(self) -> AbstractAsyncContextManager[JetStreamLog]:
        """Connect as a hub does."""
        return JetStreamLog.connect(self.urls, login=self.login, replicas=SERVERS)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Connect as any program does."""
        user, password = self.login
        client = await nats.connect(self.urls, user=user, password=password, error_cb=_ignore)
        try:
            yield client
        finally:
            await client.close()

    def end(self, number: int, how: signal.Signals = signal.SIGTERM) -> None:
        """End a server, and wait until it has ended."""
        self._processes[number].send_signal(how)
        self.wait(number)

    def wait(self, number: int) -> None:
        """Wait until a server has ended that was asked to."""
        self._processes.pop(number).wait(DEADLINE_SECONDS)

    async def ready(self) -> None:
        """Wait until a stream with three copies can be made and written to."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                try:
                    async with self.connect() as log:
                        await log.open(channel("probe"))
                except EventHubError:
                    await asyncio.sleep(0.1)
                else:
                    return

    async def follower_of(self, stream: str) -> str:
        """Return the URL of a server that has a copy of a stream, and is not its leader."""
        async with self.client() as client:
            info = await client.jetstream().stream_info(stream)
        assert info.cluster is not None
        return next(self.url(n) for n in range(SERVERS) if f"n{n}" != info.cluster.leader)

    def meta_leader(self) -> int:
        """Return the number of the server that places streams and consumers."""
        said = "Self is new JetStream cluster metadata leader"
        logs = {n: self.log_of(n).read_text() for n in range(SERVERS)}
        lines = [(line, n) for n, log in logs.items() for line in log.splitlines() if said in line]
        return max(lines, key=lambda found: found[0].split(" ", 1)[1])[1]

    async def delete_streams(self) -> None:
        """Delete everything that is stored."""
        async with self.client() as client, asyncio.timeout(DEADLINE_SECONDS):
            while not await _deleted_all(client):
                await asyncio.sleep(0.1)

    def close(self) -> None:
        """Kill what is left."""
        for process in self._processes.values():
            os.kill(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Start three servers, wait until they are ready, and end them afterwards."""
    started = Cluster(folder)
    try:
        for number in range(SERVERS):
            started.start(number)
        with asyncio.Runner() as runner:  # no test runs yet
            runner.run(started.ready())
        yield started
    finally:
        started.close()


async def _deleted_all(client: Client) -> bool:
    """Delete all streams; return False if a leader has to be chosen first."""
    streams = client.jetstream()
    try:
        for info in await streams.streams_info():
            assert info.config.name is not None
            with suppress(NotFoundError):
                await streams.delete_stream(info.config.name)
    except (ServiceUnavailableError, TimeoutError):
        return False
    return True


async def _ignore(_: Exception) -> None:
    """By default nats-py prints a traceback for each server that does not run."""
