"""Every `_since` starts where it says, and a position that does not hold says why."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from eventhub.background import Background
from eventhub.delivery import last_events as search_module
from eventhub.delivery.broadcast import Broadcast
from eventhub.delivery.frames import Form
from eventhub.delivery.last_events import position_before
from eventhub.delivery.live_channel import LiveChannel
from eventhub.delivery.start import Start
from eventhub.delivery.start import start_of as start_to_search
from eventhub.delivery.view import View
from eventhub.errors import Rejected, Unavailable
from eventhub.event import StoredEvent
from eventhub.feed import Feed
from eventhub.filters.query import parse
from eventhub.memory import MemoryStream
from eventhub.stream import Bounds
from tests.builders import channel
from tests.subscribing import MemorySnapshots, append

LAST = 40


class Trimmed(MemoryStream):
    """A log that begins later than it was begun; `oldest` is the last sequence that is gone."""

    oldest = 10
    is_silent = False
    followed = 0

    async def bounds(self) -> Bounds:
        return Bounds(self.oldest + 1, self.length)

    @asynccontextmanager
    async def follow(self, after: int) -> AsyncIterator[AsyncIterator[list[StoredEvent]]]:
        after = 1 << 40 if self.is_silent else max(after, self.oldest)
        async with super().follow(after) as batches:
            yield self._counted(batches)

    async def _counted(
        self, batches: AsyncIterator[list[StoredEvent]]
    ) -> AsyncIterator[list[StoredEvent]]:
        async for batch in batches:
            self.followed += len(batch)
            yield batch


@pytest.fixture
async def stream() -> Trimmed:
    """Every tenth event says `a`, the others `b`."""
    stream = Trimmed(channel())
    for number in range(1, LAST + 1):
        text = "a" if number % 10 == 0 else "b"
        await append(stream, _method="POST", id=f"{number}", text=text)
    return stream


def at(stream: MemoryStream, head: int) -> LiveChannel:
    """A channel that has handed out everything up to a sequence."""
    tasks = Background(asyncio.TaskGroup())  # starts none
    return LiveChannel(Feed(stream, head), MemorySnapshots(stream), Broadcast(), 3600, tasks)


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


async def test_without_since_the_current_rows_or_all_of_history(stream: Trimmed) -> None:
    """And all that is known to be stored, although the feed is behind."""
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
async def test_what_holds_is_where_reading_starts(
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
async def test_a_position_that_does_not_hold_gives_the_whole_state(
    stream: Trimmed, since: str, reason: str
) -> None:
    since = since.format(epoch=stream.epoch)
    found = await start_of(since, view(stream), at(stream, 3))
    assert found == Start(position=None, head=LAST, recovered=False, reason=reason)
    found = await start_of(since, view(stream, history=True), at(stream, 3))
    assert found == Start(position=10, head=LAST, recovered=False, reason=reason)


async def test_a_fan_out_ahead_of_the_bounds_counts(stream: Trimmed) -> None:
    """Both are asked at different moments."""
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
async def test_anything_else_is_refused(stream: Trimmed, since: str) -> None:
    with pytest.raises(Rejected) as caught:
        await start_of(since, view(stream), at(stream, LAST))
    assert (caught.value.code, caught.value.column) == ("bad_position", "_since")


@pytest.mark.parametrize(("count", "position"), [(1, 39), (2, 29), (3, 19), (4, 10)])
async def test_the_last_n_are_those_that_match(stream: Trimmed, count: int, position: int) -> None:
    found = await start_of(f"-{count}", view(stream, text="a"), at(stream, LAST))
    assert found.position == position


async def test_the_last_few_do_not_cost_the_whole_log(stream: Trimmed) -> None:
    await start_of("-2", view(stream), at(stream, LAST))
    assert stream.followed <= 8


@pytest.mark.parametrize(("count", "is_found"), [(2, True), (3, False)])
async def test_a_search_looks_at_so_many_events_and_no_more(
    monkeypatch: pytest.MonkeyPatch, stream: Trimmed, count: int, is_found: bool
) -> None:
    monkeypatch.setattr(search_module, "MAX_SEARCHED", 19)
    start = start_of(f"-{count}", view(stream, text="a"), at(stream, LAST))
    if is_found:
        assert (await start).position == 29
    else:
        with pytest.raises(Rejected, match="of the newest 19 events only 2 match") as caught:
            await start
        assert (caught.value.code, caught.value.column) == ("too_costly", "_since")


async def test_a_search_that_ends_with_the_log_is_found_however_few_there_are(
    monkeypatch: pytest.MonkeyPatch, stream: Trimmed
) -> None:
    monkeypatch.setattr(search_module, "MAX_SEARCHED", 30)
    found = await start_of("-9", view(stream, text="a"), at(stream, LAST))
    assert (found.position, stream.followed) == (10, 30)


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
async def test_of_an_empty_log_everything_is_the_beginning(since: str) -> None:
    stream = MemoryStream(channel())
    found = await start_of(since, view(stream), at(stream, 0))
    assert (found.position, found.head, found.recovered) == (0, 0, True)


async def test_a_log_that_does_not_answer_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, stream: Trimmed
) -> None:
    monkeypatch.setattr(search_module, "SEARCH_SECONDS", 0.02)
    stream.is_silent = True
    with pytest.raises(Unavailable) as caught:
        await start_of("-1", view(stream), at(stream, LAST))
    assert caught.value.code == "unavailable"
