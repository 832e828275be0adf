"""Row body: the rows of a replay as the body of an answer, as text or in a binary format."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from eventhub.channel import encode_token
from eventhub.columns import Column
from eventhub.delivery.replay import RowFormat
from eventhub.gateway.encodings import Encoding, ndjson
from eventhub.snapshots import Recode, Recoder

_BINARY: Final = {
    "arrow": "application/vnd.apache.arrow.stream",
    "arrow_file": "application/vnd.apache.arrow.file",
    "parquet": "application/vnd.apache.parquet",
}


class Body(Protocol):
    """A way to write rows into an answer."""

    row_format: RowFormat
    """The format that the replay must have."""
    headers: dict[str, str]

    def parts(self, rows: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Iterate over the bytes of the answer."""


class TextBody:
    """Rows as they are replayed, with what precedes and follows them."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self.row_format = RowFormat(encoding.name, encoding.render)
        self.headers = {"Content-Type": f"{encoding.content_type}; charset=utf-8"}

    async def parts(self, rows: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """See `Body`."""
        yield self._encoding.before
        cut = self._encoding.cut
        async for part in rows:
            yield part[cut:]
            cut = 0
        yield self._encoding.after


class Recoding:
    """The work of making files of rows for all clients of a hub.

    It is done in a thread, a piece of one file at a time: several threads would hold the
    interpreter for most of the time, and with it the event loop.
    """

    def __init__(self, recoders: Mapping[str, Recode]) -> None:
        self._recoders = recoders
        self._turn = asyncio.Lock()

    def begin(self, name: str, columns: Sequence[Column]) -> Recoder:
        """Begin a file in a format: see `TableFiles.recoders`."""
        return self._recoders[name](columns)

    async def do(self, work: Callable[[], bytes]) -> bytes:
        """Do a piece of the work once it is its turn."""
        async with self._turn:
            return await asyncio.to_thread(work)


class BinaryBody:
    """Rows recoded from NDJSON, which other readers may share."""

    def __init__(
        self, name: str, columns: Sequence[Column], table: str, recoding: Recoding
    ) -> None:
        self._recoding = recoding
        self._recoder = recoding.begin(name, columns)
        encoding = ndjson(())
        self.row_format = RowFormat(encoding.name, encoding.render)
        self.headers = {
            "Content-Type": _BINARY[name],
            "Content-Disposition": f'attachment; filename="{encode_token(table)}.{name}"',
        }

    async def parts(self, rows: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """See `Body`."""
        async for part in rows:
            yield await self._recoding.do(partial(self._recoder.feed, part))
        yield await self._recoding.do(self._recoder.finish)
