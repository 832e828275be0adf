"""The last N events are those that a view shows, and a search for them is bounded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from eventhub.background import Background
from eventhub.delivery import last_events
from eventhub.delivery.broadcast import Broadcast
from eventhub.delivery.frames import Form
from eventhub.delivery.last_events import LastEvents, position_before
from eventhub.delivery.live_channel import LiveChannel
from eventhub.delivery.view import View
from eventhub.errors import Rejected, Unavailable
from eventhub.event import StoredEvent
from eventhub.feed import Feed
from eventhub.filters.query import parse
from eventhub.memory import MemoryStream
from eventhub.memory_signals import MemorySignals
from eventhub.stream import Bounds
from tests.builders import channel
from tests.subscribing import MemorySnapshots, append_every_tenth

LAST, OLDEST = 40, 10


class Counted(MemoryStream):
    """Counts the events that are read from it; its oldest events are gone."""

    is_silent = False
    followed = 0

    @asynccontextmanager
    async def follow(self, after: int) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        after = 1 << 40 if self.is_silent else max(after, OLDEST)
        async with super().follow(after) as batches:
            yield self._counted(batches)

    async def _counted(
        self, batches: AsyncIterator[list[StoredEvent]]
    ) -> AsyncIterator[list[StoredEvent]]:
        async for batch in batches:
            self.followed += len(batch)
            yield batch


@pytest.fixture
async def stream() -> Counted:
    """A log in which every tenth event has the text `a`, the others `b`."""
    stream = Counted(channel())
    await append_every_tenth(stream, LAST)
    return stream


async def search(stream: Counted, wanted: int, **args: list[str]) -> int:
    """Return the position before the last events that match."""
    tasks = Background(asyncio.TaskGroup())  # starts none
    snapshots = MemorySnapshots(stream)
    live = LiveChannel(Feed(stream, LAST), snapshots, Broadcast(), 3600, tasks, MemorySignals())
    query = parse(args, stream.channel.columns)
    view = View(Form.V1, query, history=False, epoch=stream.epoch)
    last = LastEvents(wanted, Bounds(OLDEST + 1, LAST))
    return await position_before(last, view, live, "client")


@pytest.mark.parametrize(("wanted", "position"), [(1, 39), (2, 29), (3, 19), (4, OLDEST)])
async def test_the_last_n_are_those_that_match(stream: Counted, wanted: int, position: int) -> None:
    assert await search(stream, wanted, text=["a"]) == position


async def test_a_search_for_few_events_does_not_read_the_whole_log(stream: Counted) -> None:
    assert await search(stream, 2) == LAST - 2
    assert stream.followed <= 8


@pytest.mark.parametrize(("wanted", "is_found"), [(2, True), (3, False)])
async def test_a_search_that_finds_too_few_within_its_bound_is_refused(
    monkeypatch: pytest.MonkeyPatch, stream: Counted, wanted: int, is_found: bool
) -> None:
    monkeypatch.setattr(last_events, "MAX_SEARCHED", 19)
    if is_found:
        assert await search(stream, wanted, text=["a"]) == 29
        return
    with pytest.raises(Rejected, match="of the newest 19 events only 2 match") as caught:
        await search(stream, wanted, text=["a"])
    assert (caught.value.code, caught.value.column) == ("too_costly", "_since")


async def test_a_search_that_reaches_the_start_of_the_log_finds_whatever_there_is(
    monkeypatch: pytest.MonkeyPatch, stream: Counted
) -> None:
    monkeypatch.setattr(last_events, "MAX_SEARCHED", LAST - OLDEST)
    assert await search(stream, 9, text=["a"]) == OLDEST
    assert stream.followed == LAST - OLDEST


async def test_a_log_that_does_not_answer_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, stream: Counted
) -> None:
    monkeypatch.setattr(last_events, "SEARCH_SECONDS", 0.02)
    stream.is_silent = True
    with pytest.raises(Unavailable) as caught:
        await search(stream, 1)
    assert caught.value.code == "unavailable"
