"""Servers: what is measured, each as processes of its own, and how a load talks to it.

A hub, nats-server's own WebSocket listener, and a bare aiohttp loop are all asked the same: take
what one connection sends, and give it to all the others.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.dialects import MESSAGE_BYTES
from tests.e2e.hub import Hub

ROOT = Path(__file__).parents[2]
READY_SECONDS = 10.0

CONFIG = """
log: {level: warning}
server: {heartbeat: 600}  # no pings between the messages that are counted
url:
  bench:
    pattern: /bench
    handler: MessageHandler
    kwargs: {columns: {body: TEXT, topic: TEXT, n: INTEGER}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    dialect: str
    """How a load talks to it: a key of `dialects.DIALECTS`."""
    url: str
    pid: int
    """Of the root of its process tree."""


@contextmanager
def scratch(config: str = CONFIG) -> Iterator[Path]:
    """Make a folder for data that is fsynced: beside the system's other temporary files."""
    with tempfile.TemporaryDirectory(prefix="eventhub-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "eventhub.yaml").write_text(config)
        yield folder


def hub_of(folder: Path, program: Sequence[str] = ("eventhub",), flags: Sequence[str] = ()) -> Hub:
    """Return the hub of a folder, not yet started."""
    return Hub(folder / "eventhub.yaml", folder, [*flags], program)


@contextmanager
def serving(
    folder: Path, program: Sequence[str] = ("eventhub",), flags: Sequence[str] = ()
) -> Iterator[Server]:
    """Run a hub, with its own broker and fsync, on the data of a folder."""
    hub = hub_of(folder, program, flags)
    hub.start()
    assert hub.process is not None
    try:
        yield Server("hub", f"{hub.url}/bench", hub.process.pid)
    finally:
        hub.kill()


class Ticks:
    """How late the loop of a ticking hub came to its timers."""

    def __init__(self, server: Server, file: Path) -> None:
        self._server = server
        self._file = file

    def latest(self) -> tuple[float, float]:
        """Return the milliseconds that the latest tick since this was asked last was late.

        And the most CPU that the loop used between two ticks.
        """
        self._file.unlink(missing_ok=True)
        os.kill(self._server.pid, signal.SIGUSR1)
        late, used = map(float, _when_written(self._file).split())
        return late, used


@contextmanager
def ticking(folder: Path) -> Iterator[tuple[Server, Ticks]]:
    """Run a hub whose loop ticks, on the data of a folder."""
    file = folder / "ticks.json"
    with serving(folder, ("tests.bench.ticking_hub", str(file))) as server:
        yield server, Ticks(server, file)


@contextmanager
def fresh_hub(config: str = CONFIG) -> Iterator[Server]:
    """Run a hub without any data."""
    with scratch(config) as folder, serving(folder) as server:
        yield server


@contextmanager
def nats_websocket() -> Iterator[Server]:
    """Run a nats-server that only listens: no JetStream, nothing stored."""
    with scratch() as folder:
        (folder / "nats.conf").write_text(
            f'listen: "127.0.0.1:-1"\nports_file_dir: "{folder}"\n'
            'websocket { listen: "127.0.0.1:-1", no_tls: true }\n'
        )
        beside = Path(sysconfig.get_path("scripts")) / "nats-server"
        binary = str(beside) if beside.exists() else shutil.which("nats-server")
        assert binary is not None, "nats-server is not installed"
        with _process([binary, "--config", str(folder / "nats.conf"), "--log", os.devnull]) as it:
            ports = _when_written(folder / f"nats-server_{it.pid}.ports")
            url = json.loads(ports)["websocket"][0].replace("ws:", "http:")
            yield Server("nats", url, it.pid)


@contextmanager
def bare_loop(size: int = MESSAGE_BYTES) -> Iterator[Server]:
    """Run an aiohttp server that does nothing but write finished frames to its sockets."""
    with scratch() as folder:
        address = folder / "address"
        command = [sys.executable, "-m", "tests.bench.bare_loop", str(address), str(size)]
        with _process(command) as it:
            yield Server("bare", _when_written(address), it.pid)


@contextmanager
def bare_handler(*, stores: bool = False) -> Iterator[Server]:
    """Run an aiohttp server that reads a message and answers it, and does nothing else.

    Args:
        stores: it publishes the message to a broker, and answers when that has acknowledged it.
    """
    with scratch() as folder:
        address = folder / "address"
        command = [sys.executable, "-m", "tests.bench.bare_handler", str(address)]
        with _process([*command, str(folder)] if stores else command) as it:
            yield Server("bare", _when_written(address), it.pid)


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def _when_written(path: Path) -> str:
    """Return the text of a file that a process writes when it is ready, once it is complete."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        text = path.read_text() if path.exists() else ""
        if text.endswith(("\n", "}")):
            return text.strip()
        time.sleep(0.01)
    raise TimeoutError(f"{path.name} was not written in {READY_SECONDS} s")
