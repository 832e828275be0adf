"""Every `_since` starts where it says, and a lost position is reported with its reason."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from eventhub.background import Background
from eventhub.delivery.broadcast import Broadcast
from eventhub.delivery.frames import Form
from eventhub.delivery.last_events import position_before
from eventhub.delivery.live_channel import LiveChannel
from eventhub.delivery.start import Start
from eventhub.delivery.start import start_of as start_to_search
from eventhub.delivery.view import View
from eventhub.errors import Rejected
from eventhub.event import StoredEvent
from eventhub.feed import Feed
from eventhub.filters.query import parse
from eventhub.memory import MemoryStream
from eventhub.memory_signals import MemorySignals
from eventhub.stream import Bounds
from tests.builders import channel
from tests.subscribing import MemorySnapshots, append, append_every_tenth

LAST = 40


class Trimmed(MemoryStream):
    """A log whose first events are gone; `oldest` is the last sequence that is."""

    oldest = 10

    async def bounds(self) -> Bounds:
        return Bounds(self.oldest + 1, self.length)

    @asynccontextmanager
    async def follow(self, after: int) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        async with super().follow(max(after, self.oldest)) as batches:
            yield batches


@pytest.fixture
async def stream() -> Trimmed:
    """A log in which every tenth event has the text `a`, the others `b`."""
    stream = Trimmed(channel())
    await append_every_tenth(stream, LAST)
    return stream


def at(stream: MemoryStream, head: int) -> LiveChannel:
    """A channel that has handed out everything up to a sequence."""
    tasks = Background(asyncio.TaskGroup())  # starts none
    feed, snapshots = Feed(stream, head), MemorySnapshots(stream)
    return LiveChannel(feed, snapshots, Broadcast(), 3600, tasks, MemorySignals())


async def start_of(since: str | None, view: View, channel: LiveChannel) -> Start:
    """Return where a client starts, with the position that its search finds."""
    start = await start_to_search(since, view, channel)
    if start.last is None:
        return start
    return replace(
        start, position=await position_before(start.last, view, channel, "client"), last=None
    )


def view(stream: MemoryStream, *, history: bool = False, text: str = "") -> View:
    query = parse({"text": [text]} if text else {}, stream.channel.columns)
    return View(Form.V1, query, history=history, epoch=stream.epoch)


async def test_without_since_reading_starts_with_the_current_rows_or_all_of_history(
    stream: Trimmed,
) -> None:
    """That includes everything known to be stored, even if the feed is behind."""
    current = await start_of(None, view(stream), at(stream, 7))
    assert current == Start(position=None, head=LAST)
    history = view(stream, history=True)
    assert await start_of(None, history, at(stream, 7)) == Start(position=0, head=LAST)


@pytest.mark.parametrize("is_history", [False, True])
@pytest.mark.parametrize(
    ("since", "position", "reason"),
    [
        ("earliest", 10, "earliest"),
        ("now", LAST, "now"),
        ("-1", 39, "last"),
        ("-7", 33, "last"),
        ("-30", 10, "last"),
        ("-31", 10, "last"),
        ("-999999999", 10, "last"),
        ("{epoch}.10", 10, "position"),
        ("{epoch}.25", 25, "position"),
        ("{epoch}.40", 40, "position"),
        ("2020-01-01", 10, "time"),
        ("2020-01-01T00:00:00+05:30", 10, "time"),
        ("9999-12-31T23:59:59-23:00", None, None),
        ("9999-12-31", LAST, "time"),
        ("0001-01-01T00:00:00Z", 10, "time"),
    ],
)
async def test_a_valid_since_is_where_reading_starts(
    stream: Trimmed, is_history: bool, since: str, position: int | None, reason: str | None
) -> None:
    since = since.format(epoch=stream.epoch)
    if position is None or reason is None:
        with pytest.raises(Rejected):
            await start_of(since, view(stream), at(stream, 3))
        return
    found = await start_of(since, view(stream, history=is_history), at(stream, 3))
    assert found == Start(position=position, head=LAST, recovered=True, reason=reason)


@pytest.mark.parametrize(
    ("since", "reason"),
    [
        ("other.20", "epoch"),
        ("other.99999", "epoch"),
        ("{epoch}.41", "ahead"),
        ("{epoch}.99999999999999999999999", "ahead"),
        ("{epoch}.9", "trimmed"),
        ("{epoch}.0", "trimmed"),
    ],
)
async def test_a_lost_position_gives_the_whole_state(
    stream: Trimmed, since: str, reason: str
) -> None:
    since = since.format(epoch=stream.epoch)
    found = await start_of(since, view(stream), at(stream, 3))
    assert found == Start(position=None, head=LAST, recovered=False, reason=reason)
    found = await start_of(since, view(stream, history=True), at(stream, 3))
    assert found == Start(position=10, head=LAST, recovered=False, reason=reason)


async def test_a_feed_ahead_of_the_bounds_counts(stream: Trimmed) -> None:
    """Both are read at different moments."""
    found = await start_of(f"{stream.epoch}.41", view(stream), at(stream, 42))
    assert (found.position, found.head, found.recovered) == (41, 42, True)


@pytest.mark.parametrize(
    "since",
    [
        "",
        "yesterday",
        "-0",
        "-01",
        "--1",
        "-1.5",
        "-1000000000",
        "5",
        ".5",
        "e.",
        "e.-1",
        "e.²",
        "e.1.5x",
        "a b.5",
        "e." + "9" * 5000,
        "2023-13-01",
        "2023-04",
        "2023-01-01T00:00:00 05:30",  # a + that was not escaped
        "0001-01-01T00:00:00+14:00",
        "\u0662\u0660\u0662\u0663-\u0660\u0661-\u0660\u0661",  # 2023-01-01 in Arabic digits
        "earliest ",
        "NOW",
        "\n",
    ],
)
async def test_any_other_since_is_refused(stream: Trimmed, since: str) -> None:
    with pytest.raises(Rejected) as caught:
        await start_of(since, view(stream), at(stream, LAST))
    assert (caught.value.code, caught.value.column) == ("bad_position", "_since")


async def test_an_instant_between_two_events_starts_with_the_second(stream: Trimmed) -> None:
    moment = datetime.now(UTC) + timedelta(microseconds=1)
    while datetime.now(UTC) <= moment:
        pass
    await append(stream, _method="POST", id="later")
    naive = moment.replace(tzinfo=None).isoformat()
    for text in (moment.isoformat(), naive, naive + "Z"):
        found = await start_of(text, view(stream), at(stream, LAST))
        assert (found.position, found.head) == (LAST, LAST + 1)


@pytest.mark.parametrize("since", ["earliest", "now", "-5", "2023-01-01"])
async def test_in_an_empty_log_every_since_is_its_beginning(since: str) -> None:
    stream = MemoryStream(channel())
    found = await start_of(since, view(stream), at(stream, 0))
    assert (found.position, found.head, found.recovered) == (0, 0, True)
