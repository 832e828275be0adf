"""EmbeddedBroker: keeps a nats-server running for a data folder.

After a write that met a full disk, nats-server takes no more writes to that stream, and answers
none, until it is restarted. So the free space is watched. Below a floor the server is restarted
with a configuration that lets it store nothing. Then it refuses each write with a clear error, even
without a free byte, and everything can still be read. With room again it is restarted as usual.

The server's memory is watched as well: it may read a damaged file (`blocks`) until no memory is
left. Then the file is corrected, or the index that the server trusted is deleted, and the server is
restarted.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from eventhub.background import background
from eventhub.broker.blocks import Hole, forget_index, search
from eventhub.broker.folder import Address, free_bytes, held_lock, write_address
from eventhub.broker.server import START_SECONDS, Server, store_dir, write_configs
from eventhub.broker.staging import Staging
from eventhub.descriptors import NONE_LEFT, later_if_none_is_left
from eventhub.errors import Misconfigured

RESTART_SECONDS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Delays before restarts; the last one repeats."""
STARTS = 3
"""Starts that this process may end itself before one lasts."""
FLOOR_BYTES = 32 << 20
"""Free space below which nothing is stored: a second of the heaviest load."""
ROOM_BYTES = 64 << 20
"""Free space from which on events are stored again."""
LOOK_SECONDS = 1.0
"""Between two looks at the free space, and at the server's memory."""
GROWN_BYTES = 1 << 30
"""Of the server's memory: a million rows need half of it."""

logger = structlog.get_logger(__name__)


class EmbeddedBroker:
    """A nats-server on loopback with a random port and token; it is restarted if it dies.

    Raises:
        Misconfigured: on entry: another hub runs on the folder, or the server does not start.
    """

    url: str
    token: str
    is_full: bool
    """The disk has no room: writes are refused until there is some."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.url = ""
        self.token = secrets.token_urlsafe(32)
        self.is_full = False
        self._port = -1
        self._lock = -1
        self._server: Server | None = None
        self._suspect_bytes = GROWN_BYTES
        self._is_kept = False
        self._stopped = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._lock = await stack.enter_async_context(held_lock(self.folder))
            self._staging = Staging(store_dir(self.folder))
            stack.callback(self._staging.close)
            tasks = await stack.enter_async_context(background())
            stack.push_async_callback(self._stop)
            await asyncio.to_thread(write_configs, self.folder, self.token)
            await self._look_for_room()
            tasks.start(self._watch_memory(), name="broker-memory")
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

    @property
    def pid(self) -> int:
        """Process id of the current server."""
        return self._server.pid if self._server is not None else 0

    async def stage_in_memory(self) -> None:
        """Keep the batches of streams that are new since the start in memory, not on the disk."""
        await asyncio.to_thread(self._staging.link)

    async def renew(self, stream: str) -> None:
        """Restart the server, so that it reads the files of a stream without their index."""
        if self._server is not None:
            await self._renew(self._server, [stream])

    async def _start(self) -> None:
        for _ in range(STARTS):
            self._server = server = await Server.spawn(
                self.folder, port=self._port, lock=self._lock, stores_nothing=self.is_full
            )
            try:
                self._port = await server.ready(self.token)
                break
            except Misconfigured:
                if not server.was_ended:
                    raise
        else:
            raise Misconfigured(f"nats-server cannot read its files in {self.folder}")
        self.url = f"nats://127.0.0.1:{self._port}"
        await self.stage_in_memory()
        if not self._is_kept:  # otherwise it was written before, and the disk may be full now
            address = Address(hub=os.getpid(), url=self.url, token=self.token)
            await asyncio.to_thread(write_address, self._lock, address)

    async def _keep_running(self) -> None:
        """Restart the server when it dies, until `_stop` or a cancellation."""
        try:
            await self._restart_when_dead()
            await self._terminate()  # a server that was just restarted
        finally:
            self._stopped.set()

    async def _restart_when_dead(self) -> None:
        """Restart the server when it dies, on the same port, so that clients reconnect."""
        deaths = 0
        while (server := self._server) is not None:
            status = await server.wait()
            if self._stopping.is_set():
                break
            deaths = 0 if server.age_seconds > START_SECONDS else deaths
            delay = RESTART_SECONDS[min(deaths, len(RESTART_SECONDS) - 1)]
            deaths += 1
            if not server.was_ended:
                folder = str(self.folder)
                logger.error("broker_died", status=status, delay_seconds=delay, folder=folder)
                if status == -signal.SIGKILL:  # perhaps because of its memory
                    self._suspect_bytes = 0
            if not await self._stops_within(delay):
                await self._restart()

    async def _stops_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    async def _watch_room(self) -> None:
        """Restart the server when the disk becomes full, or has room again.

        The folder in memory is renewed as well.
        """
        while not await self._stops_within(LOOK_SECONDS):
            with later_if_none_is_left("the watch over the disk"):
                await self._look_for_room()
                await asyncio.to_thread(self._staging.link_new)
            if self._server is not None and self._server.stores_nothing != self.is_full:
                self._server.was_ended = True
                await self._server.terminate()

    async def _look_for_room(self) -> None:
        try:
            free = await asyncio.to_thread(free_bytes, self.folder, self._lock)
        except OSError as error:
            if error.errno in NONE_LEFT:
                raise
            raise Misconfigured(f"the data folder cannot be used: {error}") from error
        is_full = free < (ROOM_BYTES if self.is_full else FLOOR_BYTES)
        if is_full and not self.is_full:
            logger.error("disk_full", folder=str(self.folder), free_bytes=free)
        elif self.is_full and not is_full:
            logger.warning("disk_has_room", folder=str(self.folder), free_bytes=free)
        self.is_full = is_full

    async def _watch_memory(self) -> None:
        """Restart a server that reads a damaged file forever, even while it starts.

        A look at the files takes time, so there is one each time that the memory has doubled.
        """
        while not await self._stops_within(LOOK_SECONDS):
            server = self._server
            if server is None:
                continue
            size = server.memory_bytes()
            grown = max(2 * size, GROWN_BYTES)
            if size < self._suspect_bytes:
                self._suspect_bytes = min(grown, self._suspect_bytes)  # lower for a new server
                continue
            self._suspect_bytes = grown
            holes: list[Hole] = []
            with later_if_none_is_left("the search for damaged files"):
                holes = await search(store_dir(self.folder))
            if holes:
                left = [hole for hole in holes if not await asyncio.to_thread(_mended, hole, size)]
                await self._renew(server, {hole.stream for hole in left})

    async def _renew(self, server: Server, streams: Iterable[str]) -> None:
        for stream in streams:
            await asyncio.to_thread(forget_index, store_dir(self.folder), stream)
        server.was_ended = True
        await server.kill()

    async def _restart(self) -> None:
        try:
            await self._start()
        except (
            Misconfigured,
            OSError,
        ) as error:  # OSError: no room for its log, no descriptor left
            logger.error("broker_restart_failed", reason=str(error))  # noqa: TRY400 - expected
            if self._server is not None:
                await self._server.kill()
        else:
            logger.warning("broker_restarted", pid=self.pid)

    async def _stop(self) -> None:
        self._stopping.set()
        await self._terminate()
        if self._is_kept:
            await self._stopped.wait()

    async def _terminate(self) -> None:
        if self._server is not None:
            await self._server.terminate()


def _mended(hole: Hole, memory_bytes: int) -> bool:
    is_mended = hole.mend()
    logger.error(
        "block_damaged", file=hole.file, at=hole.at, mended=is_mended, memory_bytes=memory_bytes
    )
    return is_mended
