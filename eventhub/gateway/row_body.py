"""Row body: the rows of a replay as the body of an answer, as text or in a binary format."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Final, Protocol

from eventhub.channel import encode_token
from eventhub.delivery.replay import RowFormat
from eventhub.gateway.encodings import Encoding, ndjson
from eventhub.gateway.one_thread import OneThread
from eventhub.snapshots import Recoder

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


class BinaryBody:
    """Rows recoded in a thread, from NDJSON that other readers may share."""

    def __init__(self, name: str, recoder: Recoder, table: str, thread: OneThread) -> None:
        self._recoder = recoder
        self._thread = thread
        encoding = ndjson(())
        self.row_format = RowFormat(encoding.name, encoding.render)
        self.headers = {
            "Content-Type": _BINARY[name],
            "Content-Disposition": f'attachment; filename="{encode_token(table)}.{name}"',
        }

    async def parts(self, rows: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """See `Body`."""
        async for part in rows:
            yield await self._thread.do(partial(self._recoder.feed, part))
        yield await self._thread.do(self._recoder.finish)
