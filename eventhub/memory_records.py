"""MemoryRecords: records in memory, for tests. Passes the contract suite of `jetstream`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple

from eventhub.stream import Record, Watched


class _Stored(NamedTuple):
    record: Record
    ends_at: datetime | None


class MemoryRecords:
    """Records in a dictionary, in order of their last put; see `eventhub.stream.Records`."""

    def __init__(self, max_age_seconds: float | None) -> None:
        self._max_age = max_age_seconds
        self._sequences = count(1)
        self._stored: dict[str, _Stored] = {}
        self._watchers: set[asyncio.Queue[Watched]] = set()

    async def put(self, key: str, value: bytes, *, seconds: float | None = None) -> int:
        """Store a value, and return its sequence."""
        self._stored.pop(key, None)
        limits = [each for each in (seconds, self._max_age) if each is not None]
        ends_at = datetime.now(UTC) + timedelta(seconds=min(limits)) if limits else None
        record = Record(key, value, next(self._sequences))
        self._stored[key] = _Stored(record, ends_at)
        for watcher in self._watchers:
            watcher.put_nowait(Watched([record], is_whole=False))
        return record.sequence

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None."""
        return next((each.value for each in self._young() if each.key == key), None)

    async def delete(self, key: str) -> None:
        """Forget a key."""
        self._stored.pop(key, None)

    async def items(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return the keys below a prefix with their values, oldest first."""
        young = self._young()
        return [(each.key, each.value) for each in young if each.key.startswith(f"{prefix}.")]

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[Watched]]:
        """Iterate over all records, and what is put from then on."""
        queue: asyncio.Queue[Watched] = asyncio.Queue()
        queue.put_nowait(Watched(self._young(), is_whole=True))
        self._watchers.add(queue)
        try:
            yield _taken(queue)
        finally:
            self._watchers.discard(queue)

    def _young(self) -> list[Record]:
        now = datetime.now(UTC)
        return [
            each.record for each in self._stored.values() if not each.ends_at or now < each.ends_at
        ]


async def _taken(queue: asyncio.Queue[Watched]) -> AsyncIterator[Watched]:
    while True:
        yield await queue.get()
