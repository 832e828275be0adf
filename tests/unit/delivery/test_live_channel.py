"""A live channel keeps its caches fresh, and loses nothing for its subscribers when it rests."""

import asyncio
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventhub.delivery.start import arrival, start_of
from eventhub.delivery.subscriber import Subscriber
from eventhub.demand import Demand
from eventhub.errors import Unavailable
from eventhub.event import StoredEvent
from eventhub.feed import RING_BYTES, Feed
from eventhub.memory import MemoryStream
from eventhub.stream import Bounds
from tests.builders import channel
from tests.examples import examples
from tests.subscribing import Pipe, Reading, append, eventually, reading, turns


class Watching(Pipe):
    """Records, with each frame, the sequence of row 1 in the row cache."""

    def __init__(self) -> None:
        super().__init__()
        self.hub: Reading | None = None
        self.cached: list[int | None] = []

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.hub is not None:
            last = self.hub.channel.rows.recent("1")
            self.cached.append(None if last is None else last.sequence)


async def test_a_row_is_cached_before_its_frame_is_written() -> None:
    async with reading() as hub:
        pipe = Watching()
        await hub.joined(pipe)
        pipe.hub = hub
        await hub.write(_method="POST", id="1", text="a")
        await hub.write(_method="PUT", id="1", text="b")
        assert pipe.cached == [1, 2]


async def test_tables_that_lack_half_of_the_recent_bytes_are_behind() -> None:
    stream = MemoryStream(channel())
    for number in range(3):
        await append(stream, _method="POST", id=str(number))
    half = RING_BYTES // 2
    payload = b" " * half
    async with reading(stream=stream) as hub:
        feed = Feed(stream, 0)
        live = hub.channel
        live.feed = feed
        found = [live.is_behind]
        feed.publish([StoredEvent(4, stream.at(1).event, payload)])
        found.append(live.is_behind)
        feed.publish([StoredEvent(5, stream.at(1).event, b" ")])
        found.append(live.is_behind)
        await append(stream, _method="POST", id="4")  # the tables have event 4 now
        found.append(live.is_behind)
    assert found == [False, False, True, False]


# --- Rest -----------------------------------------------------------------------------------------


class Visitor:
    """A client that reads everything from the first event on."""

    def __init__(self, hub: Reading) -> None:
        self.pipe = Pipe()
        self._hub = hub
        self._held = ExitStack()
        self._subscriber: Subscriber | None = None

    async def come(self) -> None:
        view = self._hub.view(history=True)
        start = await start_of(None, view, self._hub.channel)
        self._held.enter_context(self._hub.channel.hold(view, "client"))
        self._subscriber = Subscriber(view, self._hub.channel, self.pipe)
        self._subscriber.start(start)

    def leave(self) -> None:
        assert self._subscriber is not None
        self._subscriber.stop()
        self._held.close()

    @property
    def seen(self) -> list[int]:
        """The sequences of the events that it got."""
        return [frame["_seq"] for frame in self.pipe.frames if "_seq" in frame]


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.sampled_from(["write", "come", "leave", "wait", "rest"]), max_size=40))
def test_clients_that_come_and_go_get_every_event_once_although_the_feed_rests(
    steps: list[str],
) -> None:
    async def scenario() -> None:
        stream, present, gone = MemoryStream(channel()), list[Visitor](), list[Visitor]()
        async with reading(stream=stream, demand=Demand(0)) as hub:
            for step in [*steps, "write", "come", "write"]:
                match step:
                    case "write":
                        await append(stream, _method="POST", id=f"{stream.length}")
                    case "come":
                        present.append(Visitor(hub))
                        await present[-1].come()
                    case "leave" if present:
                        gone.append(present.pop(0))
                        gone[-1].leave()
                    case "wait":
                        await turns(5)
                    case "rest" if not present:
                        await eventually(lambda: not hub.feed.is_followed)
            everything = list(range(1, stream.length + 1))
            await eventually(lambda: all(each.seen == everything for each in present))
            for visitor in gone:
                assert visitor.seen == everything[: len(visitor.seen)]

    asyncio.run(scenario())


async def test_a_channel_that_rests_keeps_no_events_and_no_rows() -> None:
    async with reading(demand=Demand(0)) as hub:
        with hub.channel.hold(hub.view(), "client"):
            await hub.feed.reached(0, 5)
            await hub.write(_method="POST", id="1")
            assert hub.channel.rows.recent("1") is not None
        await eventually(lambda: not hub.feed.is_followed)
        assert hub.channel.rows.recent("1") is None
        assert hub.feed.recent(0) is None


class Silent(MemoryStream):
    """A log that does not answer."""

    async def bounds(self) -> Bounds:
        raise Unavailable("silent")


@pytest.mark.parametrize("rest_seconds", [None, 3600])
async def test_only_a_channel_that_is_followed_is_read_without_the_log(
    rest_seconds: float | None,
) -> None:
    """What a channel that rests knows may be hours old."""
    async with reading(stream=Silent(channel()), demand=Demand(rest_seconds)) as hub:
        if rest_seconds is None:
            assert (await arrival(hub.channel)).head == 0
        else:
            with pytest.raises(Unavailable):
                await arrival(hub.channel)
