"""The backlog is read up to the end that the log has now, in few large batches, or given up."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from eventhub.errors import Unavailable
from eventhub.event import SealedEvent
from eventhub.memory import MemoryStream
from projections import backlog
from projections.backlog import is_enough, read_to_end, size_of
from tests.builders import channel
from tests.subscribing import append


@pytest.fixture
async def stream() -> MemoryStream:
    """Ten events."""
    stream = MemoryStream(channel())
    for number in range(10):
        await append(stream, id=f"r{number}")
    return stream


async def batches(stream: MemoryStream, after: int = 0) -> list[list[int]]:
    progress: list[tuple[int, int]] = []
    async with aclosing(read_to_end(stream, lambda *at: progress.append(at), after)) as reading:
        found = [[sealed.sequence for sealed in batch] async for batch in reading]
    assert progress == [(batch[-1], stream.length) for batch in found]
    return found


async def test_all_events_come_in_one_batch_if_they_are_few(stream: MemoryStream) -> None:
    assert await batches(stream) == [list(range(1, 11))]
    assert await batches(stream, after=7) == [[8, 9, 10]]
    assert await batches(stream, after=10) == []


class Trickling(MemoryStream):
    """A log that delivers its events one by one, while others are written."""

    @asynccontextmanager
    async def follow_sealed(self, after: int) -> AsyncIterator[AsyncIterator[list[SealedEvent]]]:
        async def events() -> AsyncIterator[list[SealedEvent]]:
            for sequence in range(after + 1, 1000):
                if self.length < 15:
                    await append(self, id=f"later{sequence}")
                yield [self.sealed_at(sequence)]

        yield events()


async def test_what_is_written_meanwhile_is_left_for_later(
    stream: MemoryStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "BATCH_EVENTS", 4)
    trickling = Trickling(channel())
    for number in range(10):
        await append(trickling, id=f"r{number}")
    async with aclosing(read_to_end(trickling, lambda _at, _last: None)) as reading:
        found = [[sealed.sequence for sealed in batch] async for batch in reading]
    assert found == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


class Silent(MemoryStream):
    """A log that delivers nothing."""

    @asynccontextmanager
    async def follow_sealed(self, after: int) -> AsyncIterator[AsyncIterator[list[SealedEvent]]]:
        async with super().follow_sealed(self.length) as nothing:
            yield nothing


async def test_a_log_that_delivers_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "SILENCE_SECONDS", 0.02)
    silent = Silent(channel())
    await append(silent, id="a")
    with pytest.raises(Unavailable, match="before the end of the log"):
        await batches(silent)


async def test_a_batch_is_full_by_count_or_by_bytes(stream: MemoryStream) -> None:
    assert not is_enough(backlog.BATCH_EVENTS - 1, backlog.BATCH_BYTES - 1)
    assert is_enough(backlog.BATCH_EVENTS, 0)
    assert is_enough(0, backlog.BATCH_BYTES)
    sealed = [stream.sealed_at(1), stream.sealed_at(2)]
    assert size_of(sealed) == sum(len(each.payload) for each in sealed)
