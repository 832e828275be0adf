"""Network: three machines, which are network namespaces, on networks that can be cut at each.

A machine has a leg in each network. `servers` joins the nats-servers, `clients` leads from hubs to
servers, and `front` from this process to everything; through that one, machines do not see each
other. The addresses of `servers` and `front` are link-local, which nats-servers do not tell their
clients: so a hub that is cut off from `clients` reaches the server of its own machine only.

A cut is silent, as if a cable were pulled: no connection is reset.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

MACHINES = 3
_NUMBERS = range(10, 160)
"""Of networks on this machine: the third byte of the addresses of `front`."""

Leg = Literal["servers", "clients", "front"]
LEGS: tuple[Leg, ...] = ("servers", "clients", "front")


class Network:
    """Machines by number, from 0.

    Args:
        number: one of `_NUMBERS` that no other network has.
    """

    def __init__(self, number: int) -> None:
        self._name = f"eh{number}"
        self._prefixes = {
            "servers": "169.254.1",
            "clients": "10.77.0",
            "front": f"169.254.{number}",
        }
        self.here = f"{self._prefixes['front']}.254"
        """The address of this process, for machines."""

    def address(self, machine: int, leg: Leg = "front") -> str:
        """Return an address of a machine; from here, only those of `front` can be reached."""
        return f"{self._prefixes[leg]}.{machine + 1}"

    def inside(self, machine: int) -> Sequence[str]:
        """Return what runs a command on a machine, as the process with the same id."""
        return ["nsenter", f"--net=/run/netns/{self._name}-{machine}"]

    def cut(self, machine: int, *legs: Leg) -> None:
        """Pull cables of a machine."""
        for leg in legs:
            _ip("link", "set", self._cable(machine, leg), "down")

    def join(self, machine: int, *legs: Leg) -> None:
        """Plug cables in again."""
        for leg in legs:
            _ip("link", "set", self._cable(machine, leg), "up")

    def claim(self) -> bool:
        """Make the first bridge; return False if another process has this number.

        Raises:
            OSError: there is no command `ip`.
            subprocess.CalledProcessError: it is not allowed.
        """
        try:
            _ip("link", "add", self._bridge(LEGS[0]), "type", "bridge")
        except subprocess.CalledProcessError as error:
            if b"File exists" not in error.stderr:
                raise
            return False
        return True

    def make(self) -> None:
        """Make the rest of it; errors as `claim`."""
        for leg in LEGS:
            if leg != LEGS[0]:
                _ip("link", "add", self._bridge(leg), "type", "bridge")
            _ip("link", "set", self._bridge(leg), "up")
        _ip("address", "add", f"{self.here}/24", "dev", self._bridge("front"))
        for machine in range(MACHINES):
            space = f"{self._name}-{machine}"
            _ip("netns", "add", space)
            _ip("-netns", space, "link", "set", "lo", "up")
            for leg in LEGS:
                cable, peer = self._cable(machine, leg), ("peer", "name", leg, "netns", space)
                _ip("link", "add", cable, "type", "veth", *peer)
                isolated = ("type", "bridge_slave", "isolated", "on" if leg == "front" else "off")
                _ip("link", "set", cable, "master", self._bridge(leg))
                _ip("link", "set", cable, *isolated)
                _ip("link", "set", cable, "up")
                address = f"{self.address(machine, leg)}/24"
                _ip("-netns", space, "address", "add", address, "dev", leg)
                _ip("-netns", space, "link", "set", leg, "up")

    def remove(self) -> None:
        """Remove what was made of it; the processes in it have ended."""
        commands = [("netns", "delete", f"{self._name}-{n}") for n in range(MACHINES)]
        commands += [("link", "delete", self._bridge(leg)) for leg in LEGS]
        for command in commands:
            subprocess.run(["ip", *command], capture_output=True, check=False)

    def _bridge(self, leg: Leg) -> str:
        return f"{self._name}{leg[0]}"

    def _cable(self, machine: int, leg: Leg) -> str:
        return f"{self._name}{leg[0]}{machine}"


class NotAllowed(Exception):  # noqa: N818 - what is so here, not a fault
    """Network namespaces cannot be made here: that needs root and its capabilities."""


@contextmanager
def network() -> Iterator[Network]:
    """Make a network for the length of a block.

    Raises:
        NotAllowed: nothing is left of it.
    """
    try:
        made = next(each for each in map(Network, _NUMBERS) if each.claim())
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotAllowed(str(error)) from error
    try:
        try:
            made.make()
        except subprocess.CalledProcessError as error:
            raise NotAllowed(str(error)) from error
        yield made
    finally:
        made.remove()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, check=True)
