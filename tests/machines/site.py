"""Site: a hub in roles of their own on three machines, and how a test looks at each of them."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from eventhub.jetstream.permissions import COMMANDS, PREFIX
from tests.e2e.client import Frame
from tests.e2e.command import output, written
from tests.e2e.hub import Hub
from tests.integration.alerts.sink import Sink
from tests.machines.network import MACHINES, Network, network
from tests.machines.servers import NATS_PORT, Servers, password_of

PORT = 8080
ESTABLISHED = 1
"""A state of /proc/net/tcp."""
READY_SECONDS = 90.0
GOES_ON_SECONDS = 60.0
"""How long a load may stand still after a fault, on a busy machine."""
TOKEN = "the-token-of-the-operators"
STREAM = "EH_rows"
RESTING, SEALED = "resting", "sealed"
"""A table that the gateways follow only while it has clients, and one whose old events leave."""
COLUMNS = {"topic": "TEXT", "n": "INTEGER", "flag": "BOOLEAN", "body": "TEXT", "pad": "TEXT"}
PLACES = {
    "gateway1": (0, PORT),
    "gateway2": (1, PORT),
    "gateway3": (2, PORT),
    "projector": (2, 8081),
    "alerts1": (0, 8082),
    "alerts2": (1, 8082),
}
"""The machine and the port of each process."""
PROGRAM = ("tests.machines.hurried",)
THIRD = "gateway3"
STARTED = tuple(name for name in PLACES if name != THIRD)
GATEWAYS = ("gateway1", "gateway2")
EXPECTED_ALARMS = {"stream_in_trouble"}
"""Log lines of the level `error` that a fault of a server explains."""
FALSE_ALARMS = re.compile(
    "Traceback|acknowledged_event_missing|event_damaged|event_erased|projection_ahead_of_log"
    "|stream_gap|stream_replaced|stream_state_lost"
)


class Site:
    """Processes by name, which can be ended and started again on their data."""

    def __init__(self, network: Network, servers: Servers, sink: Sink, folder: Path) -> None:
        self.network = network
        self.servers = servers
        self.sink = sink
        self.hubs: dict[str, Hub] = {}
        self._folder = folder
        self._looked_at: dict[str, int] = {}
        self.history: list[Frame] = []
        """All events, as of the last check."""
        self.changes_of_columns = 0
        self.loads = 0
        """Of the other tables, so far: each has ids of its own."""
        self.mails_repeated = 0
        """Mails beyond the first for an event, as of the last check."""
        for name, (machine, port) in PLACES.items():
            place = folder / name
            place.mkdir()
            role = _role(name)
            self.hubs[name] = Hub(
                place / "eventhub.yaml",
                place,
                ["--role", role],
                PROGRAM,
                port=port if role == "gateway" else 0,
                inside=network.inside(machine),
            )
            self.configure(name)

    def configure(self, name: str) -> None:
        """Write the configuration of a process, with the newest columns, for its next start."""
        server = {"host": "0.0.0.0", "heartbeat": 0.5, "drain": 5}
        server["admin"] = {"token": TOKEN, "port": PLACES[name][1]}
        urls = [f"nats://{self.network.address(n, 'clients')}:{NATS_PORT}" for n in range(MACHINES)]
        user = "${NATS_USER}"
        login = {"user": user, "password": password_of(user)}
        config = {
            "variables": {"NATS_USER": {"default": PREFIX + _role(name)}},
            **_channels(self.network.here, self.sink.port, self.changes_of_columns),
            "broker": {"url": urls, **login, "replicas": MACHINES},
            "server": server,
            "auth": {"session": {"secret": "a-secret-of-the-gateways-that-is-long-enough"}},
        }
        self.hubs[name].config.write_text(json.dumps(config))

    def url(self, name: str, path: str = "/rows") -> str:
        """Return a URL of a process."""
        machine, port = PLACES[name]
        return f"http://{self.network.address(machine)}:{port}{path}"

    async def state(self, name: str) -> str:
        """Return what `/readyz` of a process says; that there is no answer, if there is none."""
        return (await self._answer(name, "/readyz")).strip()

    async def _answer(self, name: str, path: str) -> str:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        limit = aiohttp.ClientTimeout(total=5)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.get(self.url(name, path), headers=headers) as answer,
            ):
                return await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            return "no answer"

    async def rests(self, table: str) -> None:
        """Wait until no gateway that was started at first follows a table."""
        follows = f'eventhub_followed{{channel="{table}"}} 1.0'
        async with asyncio.timeout(READY_SECONDS):
            for name in GATEWAYS:
                while follows in await self._answer(name, "/metrics"):
                    await asyncio.sleep(0.1)

    async def ready(self, *names: str, seconds: float = READY_SECONDS) -> None:
        """Wait until processes are ready; by default all that were started at first."""
        waiting = set(names or STARTED)
        states: dict[str, str] = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while waiting:
                    for name in sorted(waiting):
                        states[name] = await self.state(name)
                        if states[name].startswith("ready"):
                            waiting.discard(name)
                    await asyncio.sleep(0.1)
        assert not waiting, {name: states.get(name) for name in waiting}

    async def comes_home(self, name: str) -> None:
        """Wait until no process of a machine is connected to the server of another one."""
        process, machine = self.hubs[name].process, PLACES[name][0]
        assert process is not None
        own = self.network.address(machine, "clients")
        async with asyncio.timeout(READY_SECONDS):
            while _servers_of(process.pid) != {own}:
                await asyncio.sleep(0.1)

    async def restart(self, name: str, *, kill: bool = False) -> None:
        """End a process and start it again; return once it is ready."""
        if kill:
            self.hubs[name].kill()
        else:
            await self.stop(name)
        self.hubs[name].launch()
        await self.ready(name)

    async def stop(self, name: str) -> None:
        """Ask a process to end, if it runs, and wait until it has."""
        hub = self.hubs[name]
        if hub.process is not None and hub.process.poll() is None:
            assert await asyncio.to_thread(hub.stop) == 0

    async def upgrade(self, *names: str) -> None:
        """Start processes again with the newest columns, at the same time."""
        async with asyncio.TaskGroup() as group:
            for name in names:
                self.configure(name)
                group.create_task(self.restart(name))

    async def verify(self) -> None:
        """Run `eventhub verify` on the tables of every process that has some."""
        async with asyncio.TaskGroup() as group:
            for name in (*GATEWAYS, "projector"):
                group.create_task(self._verify(name))

    async def _verify(self, name: str) -> None:
        hub, machine = self.hubs[name], PLACES[name][0]
        command = [*self.network.inside(machine), sys.executable, "-m", "eventhub", "verify"]
        command += [str(hub.config), "--data", str(hub.folder / "data"), "--json"]
        environment = os.environ | {"NATS_USER": PREFIX + COMMANDS}
        process = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        out, error = await process.communicate()
        assert process.returncode == 0, f"{name}: {out.decode()[:2000]}{error.decode()[-2000:]}"

    def check_logs(self) -> None:
        """Check that no process has raised a false alarm since the last time."""
        for name, hub in self.hubs.items():
            text = hub.stderr()
            new, self._looked_at[name] = text[self._looked_at.get(name, 0) :], len(text)
            wrong = [line for line in new.splitlines() if _is_false_alarm(line)]
            assert not wrong, f"{name}: {wrong[:5]}"

    def close(self) -> None:
        """Kill what is left."""
        for hub in self.hubs.values():
            if hub.process is not None:
                hub.kill()


def _role(name: str) -> str:
    return name.rstrip("123")


def _channels(host: str, port: int, changes_of_columns: int = 0) -> dict[str, Any]:
    """Return the tables of a configuration, with mails to a server, and with further columns."""
    moods = {f"mood{n + 1}": "TEXT" for n in range(changes_of_columns)}
    mail = {"type": "smtp", "host": host, "port": port, "tls": False}
    alert = {"to": "ann@example.org", "subject": "{{ body }}", "max_per_hour": 10**6}
    tables = {
        "rows": {"columns": {**COLUMNS, **moods}, "alert": {**alert, "condition": "n=7"}},
        RESTING: {"columns": COLUMNS},
        SEALED: {"columns": COLUMNS, "log": {"keep": "1s"}},
    }
    return {
        "email": {"sink": {**mail, "email": "hub@example.org"}},
        "url": {
            name: {"pattern": f"/{name}", "handler": "MessageHandler", "kwargs": kwargs}
            for name, kwargs in tables.items()
        },
    }


def _servers_of(pid: int) -> set[str]:
    """Return the addresses of nats-servers that the machine of a process is connected to."""
    found = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        remote, state = line.split()[2:4]
        address, port = remote.split(":")
        if int(port, 16) == NATS_PORT and int(state, 16) == ESTABLISHED:
            found.add(socket.inet_ntoa(bytes.fromhex(address)[::-1]))  # little endian
    return found


def _is_false_alarm(line: str) -> bool:
    if FALSE_ALARMS.search(line):
        return True
    if not line.startswith("{"):
        return False
    entry = json.loads(line)
    return entry.get("level") == "error" and entry["event"] not in EXPECTED_ALARMS


@asynccontextmanager
async def running_site(folder: Path) -> AsyncIterator[Site]:
    """Start everything, and end it after the block."""
    with network() as made:
        config = written(folder, json.dumps(_channels(made.here, 25)))
        servers = Servers(made, folder, output("nats-permissions", config))
        try:
            for number in range(MACHINES):
                servers.start(number)
            await servers.ready()
            async with Sink.running(host=made.here) as sink:
                site = Site(made, servers, sink, folder)
                try:
                    for name in STARTED:
                        site.hubs[name].launch()
                    await site.ready()
                    yield site
                finally:
                    site.close()
        finally:
            servers.close()
