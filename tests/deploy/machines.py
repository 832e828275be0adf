"""Machines: three folders that commands see as a whole machine of their own, on one network.

Each is this machine with a layer above it (overlayfs), into which everything is written, and a
network namespace. So the commands of docs/deployment.md run as they are printed, as root.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.machines.network import MACHINES, Network, NotAllowed, network

ROOT = Path(__file__).parents[2]
SYSTEMCTL = Path(__file__).with_name("systemctl.py")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEADLINE_SECONDS = 180.0
_MOUNT = """
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount --bind /dev "$1/root/dev"
mount -t tmpfs tmpfs "$1/root/dev/shm"
mount -t proc proc "$1/root/proc"
echo mounted
exec sleep infinity
"""


class Machine:
    """A machine by its name, which has no service yet."""

    def __init__(self, name: str, folder: Path, inside: Sequence[str]) -> None:
        self.name = name
        self._folder = folder
        self._inside = inside
        for part in ("upper", "work", "root"):
            (folder / part).mkdir(parents=True)
        command = ["unshare", "--mount", "bash", "-euc", _MOUNT, "mount", str(folder)]
        self._holder = subprocess.Popen([*inside, *command], stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        with self._holder.stdout as output:
            is_mounted = output.readline() == "mounted\n"
        if not is_mounted:
            self._holder.wait()
            raise NotAllowed("overlayfs cannot be mounted")
        self.write(
            "/usr/local/bin/systemctl", f"#!{sys.executable}\n{SYSTEMCTL.read_text()}", 0o755
        )

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file."""
        self.run(f"cat > {path}; chmod {mode:o} {path}", text)

    def run(self, commands: str, given: str = "") -> str:
        """Run commands of a shell in the checkout, as root, until one fails; return the output."""
        into = ["nsenter", f"--target={self._holder.pid}", "--mount", "--net"]
        shell = ["chroot", str(self._folder / "root"), "bash", "-euo", "pipefail", "-c"]
        done = subprocess.run(
            [*into, *shell, f"cd {ROOT}\n{commands}"],
            input=given,
            env={"PATH": PATH, "HOME": "/root"},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{self.name}: {commands}\n{done.stdout}{done.stderr}"
        return done.stdout

    def kill(self) -> None:
        """End all services at once, as if the power were cut."""
        self.run(
            'for file in /run/*.pid; do kill -9 -- "-$(cat "$file")" || true; rm "$file"; done'
        )

    def close(self) -> None:
        """End everything; what was mounted is gone with its last process."""
        self.kill()
        self._holder.kill()
        self._holder.wait()


@contextmanager
def three_machines(folder: Path) -> Iterator[list[Machine]]:
    """Make machines for the length of a block, which know each other as n1, n2 and n3.

    Raises:
        NotAllowed: this needs root and its capabilities.
    """
    with network() as joined:
        made: list[Machine] = []
        try:
            for number in range(MACHINES):
                name = f"n{number + 1}"
                made.append(Machine(name, folder / name, joined.inside(number)))
                made[-1].write("/etc/hosts", _hosts(joined))
            yield made
        finally:
            for machine in made:
                machine.close()


def _hosts(joined: Network) -> str:
    lines = ["127.0.0.1 localhost"]
    lines += [f"{joined.address(number, 'clients')} n{number + 1}" for number in range(MACHINES)]
    return "\n".join([*lines, ""])
