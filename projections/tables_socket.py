"""Tables socket: how a command of the same user asks a hub that runs for what its tables hold.

DuckDB lets only one process open its file. So a hub answers on a Unix socket in its data folder,
which only its user may enter (ADR-51).

A request is one line of JSON. The answer is frames, each with its length before it. The first one
is JSON: how far the tables are, or why there is no answer. Parts of the answer end with an empty
frame; an answer that ends before was cut off.
"""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec

from eventhub.errors import CODES, EventHubError, Rejected, Unavailable
from projections.store import Progress

NAME = "tables.sock"
STALLED_SECONDS = 30.0
"""A peer that takes or sends nothing for so long is given up: a transaction is open for it."""
_LENGTH = struct.Struct("!I")


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a command asks for."""

    want: Literal["listing", "rows"]
    table: str
    where: str = ""
    """Of rows: conditions, as in a URL."""
    at_least: int = 0
    """The sequence that the tables must have seen."""


class _Refusal(msgspec.Struct, frozen=True):
    code: str
    message: str


class _Begin(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first frame of an answer."""

    progress: tuple[str, int, int] = ("", 0, 0)
    refused: _Refusal | None = None


class Answer:
    """What a hub sends for one request."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def begin(self, progress: Progress) -> None:
        """Tell how far the tables are; errors as `put`."""
        told = _Begin((progress.epoch, progress.head, progress.watermark))
        await self.put(msgspec.json.encode(told))

    async def refuse(self, error: EventHubError) -> None:
        """Tell why there is no answer; errors as `put`."""
        told = _Begin(refused=_Refusal(error.code, error.message))
        await self.put(msgspec.json.encode(told))

    async def put(self, frame: bytes) -> None:
        """Send a frame; an empty one ends a part of the answer.

        Raises:
            TimeoutError, ConnectionError: nobody takes it.
        """
        self._writer.write(_LENGTH.pack(len(frame)) + frame)
        async with asyncio.timeout(STALLED_SECONDS):
            await self._writer.drain()


class Reply:
    """What a command gets."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def begin(self) -> Progress:
        """Return how far the tables are.

        Raises:
            Rejected, Unavailable: what the hub refuses it with; or as `get`.
        """
        begin = msgspec.json.decode(await self._get(), type=_Begin)
        if (refused := begin.refused) is not None:
            if refused.code in CODES and not CODES[refused.code].retry:
                raise Rejected(refused.code, refused.message)
            raise Unavailable(refused.message)
        return Progress(*begin.progress)

    async def part(self) -> AsyncIterator[bytes]:
        """Iterate over the frames of the next part.

        Raises:
            Unavailable: the hub does not answer any more.
        """
        while frame := await self._get():
            yield frame

    async def _get(self) -> bytes:
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            raise Unavailable(
                "the hub stopped sending its tables: look into its log, and try again"
            ) from None


@asynccontextmanager
async def asked(folder: Path, request: Request) -> AsyncIterator[Reply]:
    """Ask the hub that has a data folder.

    Raises:
        ConnectionError: no hub answers there.
    """
    with _address(folder) as path:
        reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(msgspec.json.encode(request) + b"\n")
        yield Reply(reader)
    finally:
        writer.close()


def is_served(folder: Path) -> bool:
    """Tell whether a hub answers for the tables of a data folder."""
    with socket.socket(socket.AF_UNIX) as probe, _address(folder) as address:
        try:
            probe.connect(address)
        except OSError:
            return False
        return True


def bound(folder: Path) -> socket.socket:
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
