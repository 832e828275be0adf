"""Remote: the tables of a hub that runs, as a command sees them through the tables socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pyarrow as pa

from projections.listing import Listing, Row
from projections.row_batches import Rows, of_stream
from projections.store import Progress
from projections.tables_socket import Reply, Request, asked


class RemoteListing:
    """The tables of a channel, for a proof."""

    def __init__(self, reply: Reply, progress: Progress) -> None:
        self._reply = reply
        self.progress = progress

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, channel: str) -> AsyncIterator[Listing]:
        """Ask the hub that has a data folder for the tables of a channel.

        Raises:
            ConnectionError: no hub answers there.
            Rejected: the hub does not have the table.
            Unavailable: the hub is busy.
        """
        async with asked(folder, Request(want="listing", table=channel)) as reply:
            yield cls(reply, await reply.begin())

    async def history(self) -> AsyncIterator[list[Row]]:
        """See `Listing`."""
        async for frame in self._reply.part():
            yield msgspec.json.decode(frame, type=list[Row])

    async def current(self) -> AsyncIterator[list[Row]]:
        """See `Listing`."""
        async for frame in self._reply.part():
            yield msgspec.json.decode(frame, type=list[Row])


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
