"""Servers: the nats-servers of three machines, with the configuration of `deploy/nats`."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import Signals
from typing import Any, Literal

import msgspec
from nats.errors import NoRespondersError

from eventhub.jetstream.permissions import PREFIX, USERS
from tests.cluster import DEADLINE_SECONDS, NATS_SERVER, SERVERS, Cluster
from tests.machines.network import Network

CONFIG = Path(__file__).parents[2] / "deploy" / "nats" / "cluster.conf"
USERS_FILE = "eventhub-users.conf"
LOGIN = ("operator", "the-password-of-the-operator")
"""Of the tests, who may do everything: they make leaders, and look at what is stored."""
DISK_BYTES = 256 << 20
NATS_PORT = 4222
Who = Literal["leader", "follower", "meta leader"]
"""What a server is of one stream, or of all of them."""


class Servers(Cluster):
    """Servers by number, each on a machine and a disk of its own."""

    login = LOGIN

    def __init__(self, network: Network, folder: Path, users: str) -> None:
        """Put the configuration in place.

        Args:
            network: of the machines.
            folder: for what the servers store and log.
            users: of a hub, as `eventhub nats-permissions` prints them.
        """
        super().__init__(folder)
        self._config = Path(shutil.copy(CONFIG, folder))
        user, password = LOGIN
        first, rest = users.split("\n", 1)
        lines = [first, f"  {{ user: {user}, password: {password} }}", rest]
        (folder / USERS_FILE).write_text("\n".join(lines))
        self._network = network
        for number in range(SERVERS):
            self.disk(number).mkdir()
            options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}"]
            subprocess.run(["mount", *options, "tmpfs", self.disk(number)], check=True)

    def url(self, number: int) -> str:
        """Return the URL of a server for this process."""
        return f"nats://{self._network.address(number)}:{NATS_PORT}"

    def disk(self, number: int) -> Path:
        """Return where a server's small disk is mounted."""
        return self.folder_of(number) / "disk"

    def fill(self, number: int) -> Path:
        """Fill the disk of a server to the last byte; return the file to remove."""
        file = self.disk(number) / "filler"
        with file.open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(1 << 16))
        return file

    def lose(self, number: int) -> None:
        """Delete all that a server has stored; it does not run."""
        shutil.rmtree(self.disk(number) / "data")

    def command(self, number: int) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        """Return what starts a server."""
        route = "nats://route:the-password-of-the-routes@{}:6222"
        environment = {
            f"NATS_ROUTE{n + 1}": route.format(self._network.address(n, "servers"))
            for n in range(SERVERS)
        }
        environment |= {
            "NATS_NAME": f"n{number}",
            "NATS_DATA": str(self.disk(number) / "data"),
            "NATS_ROUTE_PASSWORD": "the-password-of-the-routes",
        }
        environment |= {f"EVENTHUB_{user.upper()}": password_of(PREFIX + user) for user in USERS}
        return [*self._network.inside(number), NATS_SERVER, "-c", self._config], environment

    def signal(self, number: int, what: Signals) -> None:
        """Send a signal to a server."""
        os.kill(self.pid(number), what)

    def halt(self, number: int, how: Signals) -> None:
        """Kill a server, or freeze it."""
        if how is Signals.SIGSTOP:
            self.signal(number, how)
        else:
            self.end(number, how)

    def resume(self, number: int) -> None:
        """Let a server that was frozen go on, or start one that was killed."""
        if number in self._processes:
            self.signal(number, Signals.SIGCONT)
        else:
            self.start(number)

    def retire(self, number: int) -> None:
        """Let a server move its leaders and clients away, and wait until it has ended."""
        subprocess.run([NATS_SERVER, "--signal", f"ldm={self.pid(number)}"], check=True)
        self.wait(number)

    async def leader(self, stream: str) -> int:
        """Return the number of the server that leads a stream."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not (leader := (await self._cluster_of(stream)).get("leader")):
                await asyncio.sleep(0.1)
        return int(leader.removeprefix("n"))

    async def lead(self, stream: str, number: int) -> None:
        """Make a server the leader of a stream."""
        request = msgspec.json.encode({"placement": {"preferred": f"n{number}"}})
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await self.leader(stream) != number:
                await self._ask(f"STREAM.LEADER.STEPDOWN.{stream}", request)
                await asyncio.sleep(0.3)

    async def pick(self, stream: str, who: Who, *, at: int | None = None) -> int:
        """Return the number of a server; make it the leader, or a follower, first.

        Args:
            stream: of which the server is that.
            who: what it is.
            at: which server; by default any that is what is asked for.
        """
        if who == "meta leader":
            return self.meta_leader()
        leader = await self.leader(stream)
        if at is None:
            return leader if who == "leader" else (leader + 1) % SERVERS
        if (leader == at) != (who == "leader"):
            await self.lead(stream, at if who == "leader" else (at + 1) % SERVERS)
        return at

    async def whole(self) -> None:
        """Wait until every stream has a leader, and every replica has what the leader has."""
        async with asyncio.timeout(2 * DEADLINE_SECONDS):
            names = await self._streams()
            while not names:
                await asyncio.sleep(0.2)
                names = await self._streams()
            for name in names:
                while not is_whole(await self._cluster_of(name)):
                    await asyncio.sleep(0.2)

    async def _streams(self) -> list[str]:
        answer = await self._ask("STREAM.NAMES")
        return list(answer.get("streams") or ())

    async def _cluster_of(self, stream: str) -> dict[str, Any]:
        answer = await self._ask(f"STREAM.INFO.{stream}")
        return dict(answer.get("cluster") or {})

    async def _ask(self, name: str, payload: bytes = b"") -> dict[str, Any]:
        """Ask the API once; without an answer return an empty one."""
        async with self.client() as client:
            try:
                answer = await client.request(f"$JS.API.{name}", payload, timeout=2)
            except (TimeoutError, NoRespondersError):
                return {}
        return dict(msgspec.json.decode(answer.data))

    def close(self) -> None:
        """Kill what is left, and give back the disks."""
        super().close()
        for number in range(SERVERS):
            subprocess.run(["umount", "--lazy", self.disk(number)], check=False)


def password_of(user: str) -> str:
    """Return the password of a user of the hubs."""
    return f"the-password-of-{user}"


def is_whole(cluster: Mapping[str, Any]) -> bool:
    """Return whether a stream has a leader, and replicas that are current."""
    replicas = cluster.get("replicas") or ()
    return bool(cluster.get("leader")) and all(
        replica.get("current") and not replica.get("offline") for replica in replicas
    )
