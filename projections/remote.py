"""Remote: the tables of a hub that runs, as a command sees them through the tables socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

from eventhub.audit.diff import Pair
from eventhub.audit.history import Version
from projections.listing import Listing, Row
from projections.row_batches import Rows, of_stream
from projections.store import Progress
from projections.tables_socket import Reply, Request, asked

COPY_SECONDS: Final = 3600.0
"""The hub has made a copy of all tables within this time."""


class RemoteListing:
    """The tables of a channel, for a proof."""

    def __init__(self, reply: Reply, progress: Progress) -> None:
        self._reply = reply
        self.progress = progress

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, channel: str, last: int = 0) -> AsyncIterator[Listing]:
        """Ask the hub that has a data folder for the tables of a channel.

        Args:
            folder: of the data.
            channel: whose tables.
            last: the sequence that they should include; if they do not reach it soon, they are
                shown as they are, because a proof has to find out why.

        Raises:
            ConnectionError: no hub answers there.
            Rejected: the hub does not have the table.
            Unavailable: the hub is busy.
        """
        request = Request(want="listing", table=channel, at_least=last)
        async with asked(folder, request) as reply:
            yield cls(reply, await reply.begin())

    async def history(self) -> AsyncIterator[list[Row]]:
        """See `Listing`."""
        async for frame in self._reply.part():
            yield msgspec.json.decode(frame, type=list[Row])

    async def current(self) -> AsyncIterator[list[Row]]:
        """See `Listing`."""
        async for frame in self._reply.part():
            yield msgspec.json.decode(frame, type=list[Row])


class RemotePast:
    """The past of a table, for an audit."""

    def __init__(self, folder: Path, channel: str, at_least: int) -> None:
        self._folder = folder
        self._channel = channel
        self._at_least = at_least

    async def versions(self, row_id: str) -> AsyncIterator[list[Version]]:
        """See `Past`."""
        request = Request(
            want="versions", table=self._channel, at_least=self._at_least, row_id=row_id
        )
        async with asked(self._folder, request) as reply:
            await reply.begin()
            async for frame in reply.part():
                yield msgspec.json.decode(frame, type=list[Version])

    async def pairs(self, earlier: int, later: int) -> AsyncIterator[list[Pair]]:
        """See `Past`."""
        between = earlier, later
        request = Request(
            want="pairs", table=self._channel, at_least=self._at_least, between=between
        )
        async with asked(self._folder, request) as reply:
            await reply.begin()
            async for frame in reply.part():
                yield msgspec.json.decode(frame, type=list[Pair])


@asynccontextmanager
async def open_remote_rows(folder: Path, request: Request) -> AsyncIterator[Rows]:
    """Read rows as `open_rows` does, from the hub that has a data folder.

    Raises:
        ConnectionError: no hub answers there.
        Rejected: the hub does not have the table, or cannot understand the conditions.
        Unavailable: the hub is busy, or its tables are behind.
    """
    async with asked(folder, request) as reply:
        progress = await reply.begin()

        async def tables() -> AsyncIterator[pa.Table]:
            async for frame in reply.part():
                yield of_stream(frame)

        yield progress, tables()


async def fetch_copy(folder: Path, path: Path) -> None:
    """Write a copy of all tables, from the hub that has a data folder, to a file.

    Raises:
        ConnectionError: no hub answers there.
        Unavailable: the hub is busy, or has no room for it.
        OSError: the file cannot be written.
    """
    async with asked(folder, Request(want="copy")) as reply:
        await reply.begin(COPY_SECONDS)
        with await asyncio.to_thread(path.open, "wb") as file:
            async for part in reply.part():
                await asyncio.to_thread(file.write, part)
