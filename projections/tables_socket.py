"""Tables socket: how a command of the same user reads the tables of a running hub.

Only one process can open a DuckDB file. So a hub answers on a Unix socket in its data folder,
which only its user may enter (ADR-51).

A request is one line of JSON. The answer consists of frames, each preceded by its length. The first
frame is JSON: the progress of the tables, or an error. Each part of the answer ends with an empty
frame; an answer that ends without one was cut off.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import msgspec

from eventhub.errors import CODES, EventHubError, Rejected, Unavailable
from eventhub.queries import Question
from eventhub.unix_socket import address_of
from projections.store import Progress

NAME = "tables.sock"
STALLED_SECONDS = 30.0
"""A peer that reads or sends nothing for this long is given up, as a transaction is open for it."""
_LENGTH = struct.Struct("!I")


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The request of a command."""

    want: Literal["listing", "rows", "versions", "pairs", "copy", "query"]
    table: str = ""
    """Of which table; a copy is of all."""
    where: str = ""
    """Conditions on the rows, as in a URL."""
    row_id: str = ""
    """Of versions: the row."""
    between: tuple[int, int] = (0, 0)
    """Of pairs: the sequences of the two states, the earlier one first."""
    handler: str = ""
    """Of a query: the SQLHandler that answers it."""
    question: Question = Question(sql="")
    at_least: int = 0
    """The sequence that the tables must include."""


class Answered(msgspec.Struct, frozen=True):
    """Before the file of a query's answer: what `queries.Answer` says of it."""

    size: int
    rows: int
    columns: tuple[tuple[str, str], ...]
    position: str
    truncated: bool


class _Refusal(msgspec.Struct, frozen=True):
    code: str
    message: str


class _Begin(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first frame of an answer."""

    progress: tuple[str, int, int] = ("", 0, 0)
    refused: _Refusal | None = None


class Answer:
    """The hub's side of one request."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def begin(self, progress: Progress) -> None:
        """Send the progress of the tables; errors as in `put`."""
        first = _Begin((progress.epoch, progress.head, progress.watermark))
        await self.put(msgspec.json.encode(first))

    async def refuse(self, error: EventHubError) -> None:
        """Send an error instead of an answer; errors as in `put`."""
        first = _Begin(refused=_Refusal(error.code, error.message))
        await self.put(msgspec.json.encode(first))

    async def put(self, frame: bytes) -> None:
        """Send a frame; an empty one ends a part of the answer.

        Raises:
            TimeoutError, ConnectionError: the command does not read it.
        """
        self._writer.write(_LENGTH.pack(len(frame)) + frame)
        async with asyncio.timeout(STALLED_SECONDS):
            await self._writer.drain()


class Reply:
    """The command's side of one request."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def begin(self, seconds: float = STALLED_SECONDS) -> Progress:
        """Return the progress of the tables, once the hub is ready to send.

        Raises:
            Rejected, Unavailable: what the hub refuses it with; or as `get`.
        """
        begin = msgspec.json.decode(await self._get(seconds), type=_Begin)
        if (refused := begin.refused) is not None:
            if refused.code in CODES and not CODES[refused.code].retry:
                raise Rejected(refused.code, refused.message)
            raise Unavailable(refused.message)
        return Progress(*begin.progress)

    async def one(self) -> bytes:
        """Return the next frame; errors as in `part`."""
        return await self._get()

    async def part(self) -> AsyncIterator[bytes]:
        """Iterate over the frames of the next part.

        Raises:
            Unavailable: the hub does not answer any more.
        """
        while frame := await self._get():
            yield frame

    async def _get(self, seconds: float = STALLED_SECONDS) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            raise Unavailable(
                "the hub stopped sending its tables: read its log lines, and try again"
            ) from None


@asynccontextmanager
async def asked(folder: Path, request: Request) -> AsyncIterator[Reply]:
    """Ask the hub that has a data folder.

    Raises:
        ConnectionError: no hub answers there.
    """
    with address_of(folder, NAME) as path:
        reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(msgspec.json.encode(request) + b"\n")
        yield Reply(reader)
    finally:
        writer.close()


def is_served(folder: Path) -> bool:
    """Tell whether a hub answers for the tables of a data folder."""
    with socket.socket(socket.AF_UNIX) as probe, address_of(folder, NAME) as address:
        try:
            probe.connect(address)
        except OSError:
            return False
        return True
