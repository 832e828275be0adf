"""Listing server: lets a command of the same user read the tables of a hub that runs.

DuckDB lets only one process open its file. So a hub answers on a Unix socket in its data folder,
which only its user may enter, with everything that the tables of one channel hold at one moment.

A request is a line: the name of the channel. The answer is frames, each with its length before it:
how far the tables are; chunks of the history and an empty one; chunks of the current rows and an
empty one. An answer that ends earlier was cut off.
"""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from eventhub.errors import Misconfigured, Unavailable
from projections.listing import Listing, Row, StoreListing
from projections.store import Progress, Store

NAME = "tables.sock"
STALLED_SECONDS = 30.0
"""A peer that takes or sends nothing for so long is given up: a transaction is open for it."""
_LENGTH = struct.Struct("!I")
_T = TypeVar("_T")

logger = structlog.get_logger(__name__)


class ListingServer:
    """Answers on the socket of a data folder, one request at a time."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._store = store
        self._turn = asyncio.Lock()

    async def run(self, stop: asyncio.Event) -> None:
        """Answer until `stop` is set.

        Raises:
            Misconfigured: the socket cannot be made.
        """
        try:
            listening = _bound(self._folder)
        except OSError as error:
            raise Misconfigured(f"{self._folder / NAME}: cannot listen: {error}") from error
        answering: set[asyncio.Task[None]] = set()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - a coroutine of a stream's server is a task
            answering.add(task)
            try:
                await self._answer(reader, writer)
            finally:
                answering.discard(task)
                writer.close()

        server = await asyncio.start_unix_server(answer, sock=listening)
        try:
            await stop.wait()
        finally:
            server.close()
            for task in answering:
                task.cancel()
            with suppress(OSError):
                (self._folder / NAME).unlink()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                name = (await reader.readline()).decode(errors="replace").rstrip("\n")
            if name not in self._store.tables:
                return
            async with self._turn, StoreListing.open(self._store, name) as listing:
                await self._send(listing, writer)
        except (TimeoutError, ConnectionError, Unavailable) as error:
            logger.info("listing_cut_short", reason=str(error) or type(error).__name__)

    async def _send(self, listing: StoreListing, writer: asyncio.StreamWriter) -> None:
        progress = listing.progress
        await _put(writer, [progress.epoch, progress.head, progress.watermark])
        for rows in (listing.history(), listing.current()):
            async for chunk in rows:
                await _put(writer, chunk)
            await _put(writer, [])


async def _put(writer: asyncio.StreamWriter, value: object) -> None:
    frame = msgspec.json.encode(value)
    writer.write(_LENGTH.pack(len(frame)) + frame)
    async with asyncio.timeout(STALLED_SECONDS):
        await writer.drain()


class RemoteListing:
    """The tables of a hub that runs."""

    def __init__(self, reader: asyncio.StreamReader, progress: Progress) -> None:
        self._reader = reader
        self.progress = progress

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, channel: str) -> AsyncIterator[Listing]:
        """Ask the hub that has a data folder for the tables of a channel.

        Raises:
            ConnectionError: no hub answers there.
            Unavailable: the hub does not have the table, or is busy.
        """
        with _address(folder) as address:
            reader, writer = await asyncio.open_unix_connection(address)
        try:
            writer.write(channel.encode() + b"\n")
            epoch, head, watermark = await _get(reader, tuple[str, int, int])
            yield cls(reader, Progress(epoch, head, watermark))
        finally:
            writer.close()

    async def history(self) -> AsyncIterator[list[Row]]:
        """See `Listing`."""
        while chunk := await _get(self._reader, list[Row]):
            yield chunk

    async def current(self) -> AsyncIterator[list[Row]]:
        """See `Listing`."""
        while chunk := await _get(self._reader, list[Row]):
            yield chunk


async def _get(reader: asyncio.StreamReader, kind: type[_T]) -> _T:
    try:
        async with asyncio.timeout(STALLED_SECONDS):
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            return msgspec.json.decode(await reader.readexactly(length), type=kind)
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        raise Unavailable(
            "the hub stopped sending its tables: look into its log, and try again"
        ) from None


def is_served(folder: Path) -> bool:
    """Tell whether a hub answers for the tables of a data folder."""
    with socket.socket(socket.AF_UNIX) as probe, _address(folder) as address:
        try:
            probe.connect(address)
        except OSError:
            return False
        return True


def _bound(folder: Path) -> socket.socket:
    """Return a socket that listens in a folder; one that a killed hub left is replaced."""
    with suppress(FileNotFoundError):
        (folder / NAME).unlink()
    listening = socket.socket(socket.AF_UNIX)
    try:
        with _address(folder) as address:
            before = os.umask(0o177)
            try:
                listening.bind(address)
            finally:
                os.umask(before)
        listening.listen()
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


@contextmanager
def _address(folder: Path) -> Iterator[str]:
    """Return the path of the socket, short enough for the kernel: it takes 107 bytes."""
    path = str(folder / NAME)
    if len(os.fsencode(path)) <= 107 or not Path("/proc/self/fd").is_dir():
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)
