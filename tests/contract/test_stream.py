"""An event stream keeps every acknowledged event once and in order, in any implementation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import msgspec
import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns
from eventhub.errors import EventHubError, Rejected
from eventhub.event import Event, decode
from eventhub.stream import MAX_PAYLOAD, Appended, Bounds, EventStream, Log, WrongSequence
from tests.builders import channel, make_event

T = TypeVar("T")
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
UNUSUAL_IDS = ["a b", "a.b", "*", ">", "a.>", "=x", "münze", "🦆", "x" * 200, "é" * 200, "$JS.API"]


async def append_rows(stream: EventStream, count: int, prefix: str = "r") -> list[Event]:
    events = [make_event(id=f"{prefix}{number}") for number in range(count)]
    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        for event in events:
            group.create_task(stream.append(event, expect=0))
    return events


async def take(batches: AsyncIterator[list[T]], count: int) -> list[T]:
    """Return the next events; fails if a batch is empty or has more events than expected."""
    taken: list[T] = []
    async with asyncio.timeout(40):
        while len(taken) < count:
            batch = await anext(batches)
            assert batch
            taken += batch
    assert len(taken) == count
    return taken


async def test_appended_events_are_numbered_from_one(stream: EventStream) -> None:
    assert await stream.append(make_event(id="a"), expect=0) == Appended(1, duplicate=False)
    assert await stream.append(make_event(id="b"), expect=0) == Appended(2, duplicate=False)
    assert await stream.append(make_event(id="a"), expect=1) == Appended(3, duplicate=False)


@pytest.mark.parametrize("expect", [0, 2, 7])
async def test_refuses_an_append_that_expects_another_last_event(
    stream: EventStream, expect: int
) -> None:
    await stream.append(make_event(id="a"), expect=0)
    await stream.append(make_event(id="b"), expect=0)
    with pytest.raises(WrongSequence):
        await stream.append(make_event(id="a"), expect=expect)
    assert await stream.bounds() == Bounds(1, 2)


async def test_of_two_writers_of_one_row_one_wins(stream: EventStream) -> None:
    outcomes: list[object] = []

    async def write() -> None:
        try:
            outcomes.append(await stream.append(make_event(id="a"), expect=0))
        except WrongSequence as error:
            outcomes.append(type(error))

    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(write())
    assert outcomes.count(WrongSequence) == 19
    assert Appended(1, duplicate=False) in outcomes


async def test_a_conflict_does_not_harm_the_writes_around_it(stream: EventStream) -> None:
    await stream.append(make_event(id="r7"), expect=0)
    events = [make_event(id=f"r{number}") for number in range(50)]
    async with asyncio.timeout(40):
        tasks = [stream.append(event, expect=0) for event in events]
        async with asyncio.TaskGroup() as group:
            results = [group.create_task(_outcome(task)) for task in tasks]
    failed = [number for number, task in enumerate(results) if task.result() is None]
    assert failed == [7]
    assert (await stream.bounds()).last == 50


async def _outcome(append: object) -> Appended | None:
    try:
        return await append  # type: ignore[misc, no-any-return] # a coroutine of append
    except WrongSequence:
        return None


@pytest.mark.parametrize("expect", [0, 1])
async def test_a_repeated_write_returns_the_first_outcome(stream: EventStream, expect: int) -> None:
    event = make_event(id="a")
    await stream.append(event, expect=0)
    assert await stream.append(event, expect=expect) == Appended(1, duplicate=True)
    assert await stream.bounds() == Bounds(1, 1)


async def test_a_repeated_write_is_known_after_the_row_moved_on(stream: EventStream) -> None:
    event = make_event(id="a")
    await stream.append(event, expect=0)
    await stream.append(make_event(id="a"), expect=1)
    assert await stream.append(event, expect=0) == Appended(1, duplicate=True)
    assert await stream.bounds() == Bounds(1, 2)


async def test_a_repeated_write_among_many_appends_nothing(stream: EventStream) -> None:
    events = await append_rows(stream, 60)
    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        again = [group.create_task(stream.append(event, expect=0)) for event in events]
    assert all(task.result().duplicate for task in again)
    assert await stream.bounds() == Bounds(1, 60)


async def test_writes_of_one_turn_keep_their_order(stream: EventStream) -> None:
    events = await append_rows(stream, 300)
    async with stream.follow(0) as batches:
        stored = await take(batches, 300)
    assert [item.event.id for item in stored] == [event.id for event in events]


async def test_refuses_an_event_that_is_too_large(stream: EventStream) -> None:
    fits = make_event(id="a", message={"text": "x" * (MAX_PAYLOAD - 2000)})
    await stream.append(fits, expect=0)
    with pytest.raises(Rejected) as refusal:
        await stream.append(make_event(id="b", message={"text": "x" * MAX_PAYLOAD}), expect=0)
    assert refusal.value.code == "too_large"
    assert await stream.bounds() == Bounds(1, 1)


async def test_a_follower_gets_the_largest_event(stream: EventStream) -> None:
    large = make_event(id="a", message={"text": "x" * (MAX_PAYLOAD - 2000)})
    await stream.append(large, expect=0)
    await stream.append(make_event(id="b"), expect=0)
    async with stream.follow(0) as batches:
        stored = await take(batches, 2)
    assert [item.event.id for item in stored] == ["a", "b"]


async def test_a_follower_gets_all_events_in_order_from_the_beginning(stream: EventStream) -> None:
    events = await append_rows(stream, 2500)
    async with stream.follow(0) as batches:
        stored = await take(batches, 2500)
    assert [item.sequence for item in stored] == list(range(1, 2501))
    assert {item.event.write for item in stored} == {event.write for event in events}


async def test_a_follower_starts_after_a_sequence_and_goes_on_live(stream: EventStream) -> None:
    await append_rows(stream, 20)
    async with stream.follow(15) as batches:
        assert [item.sequence for item in await take(batches, 5)] == [16, 17, 18, 19, 20]
        await stream.append(make_event(id="new"), expect=0)
        assert [item.event.id for item in await take(batches, 1)] == ["new"]


async def test_a_follower_waits_for_the_first_event(stream: EventStream) -> None:
    async with stream.follow(0) as batches:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await anext(batches)
        await stream.append(make_event(id="a"), expect=0)
        assert [item.event.id for item in await take(batches, 1)] == ["a"]


async def test_a_follower_whose_reader_was_cancelled_loses_nothing(stream: EventStream) -> None:
    await stream.append(make_event(id="first"), expect=0)
    async with stream.follow(0) as batches, asyncio.timeout(20), asyncio.TaskGroup() as group:
        received = [stored.sequence for stored in await take(batches, 1)]
        group.create_task(append_rows(stream, 500))
        while len(received) < 501:
            try:
                async with asyncio.timeout(0.001):
                    received += [stored.sequence for stored in await anext(batches)]
            except TimeoutError:
                continue
    assert received == list(range(1, 502))


async def test_all_followers_get_the_same_events(stream: EventStream) -> None:
    async with AsyncExitStack() as stack:
        all_batches = [await stack.enter_async_context(stream.follow(0)) for _ in range(5)]
        await append_rows(stream, 100)
        received = [await take(batches, 100) for batches in all_batches]
    assert all(stored == received[0] for stored in received)


async def test_a_stored_event_is_the_event_that_was_appended(stream: EventStream) -> None:
    event = make_event(id="ü", user="Zoë", was={"text": "🦆"}, alert=False, created=1)
    await stream.append(event, expect=0)
    async with stream.follow(0) as batches:
        followed = (await take(batches, 1))[0]
    assert followed.event == event
    assert await stream.last("ü") == await stream.get(1) == followed
    assert followed.size > 100


async def test_sealed_events_are_the_same_events_undecoded(stream: EventStream) -> None:
    await append_rows(stream, 1500)
    async with stream.follow_sealed(3) as batches, stream.follow(3) as decoded:
        sealed = await take(batches, 1497)
        stored = await take(decoded, 1497)
        assert [(s.sequence, s.payload) for s in sealed] == [
            (s.sequence, s.payload) for s in stored
        ]
        assert [decode(s.payload, stream.channel.columns) for s in sealed] == [
            s.event for s in stored
        ]
        await stream.append(make_event(id="new"), expect=0)
        assert [item.sequence for item in await take(batches, 1)] == [1501]


async def test_sealed_events_have_the_current_columns(stream: EventStream) -> None:
    event = make_event(id="a")
    await stream.append(event, expect=0)
    stream.channel = Channel("chat", Columns([*stream.channel.columns, Column("new", default="x")]))
    async with stream.follow_sealed(0) as batches:
        [sealed] = await take(batches, 1)
    lifted = msgspec.json.decode(sealed.payload)
    assert lifted["row"] == {**(event.row or {}), "new": "x"}
    assert lifted["columns"] == stream.channel.columns.signature


@pytest.mark.parametrize("row_id", UNUSUAL_IDS)
async def test_any_id_is_a_row_of_its_own(stream: EventStream, row_id: str) -> None:
    await stream.append(make_event(id="other"), expect=0)
    assert await stream.last(row_id) is None
    await stream.append(make_event(id=row_id), expect=0)
    await stream.append(make_event(id=row_id), expect=2)
    last = await stream.last(row_id)
    assert last is not None
    assert (last.sequence, last.event.id) == (3, row_id)


async def test_reading_a_missing_event_returns_none(stream: EventStream) -> None:
    assert await stream.bounds() == Bounds(1, 0)
    assert await stream.last("a") is None
    assert [await stream.get(sequence) for sequence in (0, 1)] == [None, None]


async def test_finds_the_last_event_before_an_instant(stream: EventStream) -> None:
    before = datetime.now(UTC)
    await append_rows(stream, 3)
    await asyncio.sleep(0.01)  # so that two instants differ
    between = datetime.now(UTC).astimezone()
    await append_rows(stream, 2, prefix="later")
    assert await stream.sequence_before(NEVER) == 0
    assert await stream.sequence_before(before) == 0
    assert await stream.sequence_before(between) == 3
    assert await stream.sequence_before(between + timedelta(days=1)) == 5


async def test_each_channel_has_its_own_stream(any_log: Log) -> None:
    chat, votes = await any_log.open(channel("chat")), await any_log.open(channel("vöt.es"))
    await chat.append(make_event(id="a"), expect=0)
    assert await votes.last("a") is None
    assert chat.epoch.isalnum()
    assert chat.epoch != votes.epoch


async def test_a_reopened_stream_is_the_same_stream(any_log: Log) -> None:
    first = await any_log.open(channel())
    await first.append(make_event(id="a"), expect=0)
    second = await any_log.open(channel())
    assert second.epoch == first.epoch
    assert await second.bounds() == Bounds(1, 1)


def _note(
    noted: list[tuple[int, Appended | EventHubError]],
    number: int,
    outcome: Appended | EventHubError,
) -> None:
    noted.append((number, outcome))


async def test_submitted_events_are_appended_in_order_and_reported_once(
    stream: EventStream,
) -> None:
    """However many are unacknowledged, and with refusals between them."""
    await stream.append(make_event(id="taken"), expect=0)
    noted: list[tuple[int, Appended | EventHubError]] = []
    rows = [f"r{number}" if number % 10 else "taken" for number in range(1, 300)]
    for number, row_id in enumerate(rows):
        event = make_event(id=row_id)
        tell = partial(_note, noted, number)
        assert stream.submit(event, expect=0, sender="ann", on_appended=tell)
    async with asyncio.timeout(40):
        while len(noted) < len(rows):
            await asyncio.sleep(0.001)
    assert sorted(number for number, _ in noted) == list(range(len(rows)))
    refused = {number for number, outcome in noted if isinstance(outcome, WrongSequence)}
    assert refused == {number for number, row_id in enumerate(rows) if row_id == "taken"}
    stored = sorted((n, t) for n, t in noted if isinstance(t, Appended))
    assert [appended.sequence for _, appended in stored] == list(range(2, len(stored) + 2))


@pytest.mark.parametrize("count", [1, 3, 100])
async def test_an_event_that_is_reported_as_stored_can_be_read(
    stream: EventStream, count: int
) -> None:
    """Hence a reader that comes then waits for it, even if the feed is behind."""
    known: list[bool] = []

    def note(outcome: Appended | EventHubError) -> None:
        known.append(isinstance(outcome, Appended) and stream.newest >= outcome.sequence)

    for number in range(count):
        assert stream.submit(make_event(id=f"r{number}"), expect=0, sender="ann", on_appended=note)
    async with asyncio.timeout(40):
        while len(known) < count:
            await asyncio.sleep(0.001)
    assert all(known)
    assert stream.newest == count


async def test_a_submitted_event_that_is_too_large_is_refused_at_once(stream: EventStream) -> None:
    event = make_event(message={"text": "x" * MAX_PAYLOAD})
    with pytest.raises(Rejected, match="too large"):
        stream.submit(event, expect=0, sender="ann", on_appended=print)
    assert await stream.bounds() == Bounds(1, 0)


@pytest.mark.parametrize(("max_bytes", "expected"), [(1, 1), (1000, 3), (1 << 20, 48)])
async def test_a_read_returns_what_fits_and_at_least_one_event(
    stream: EventStream, max_bytes: int, expected: int
) -> None:
    await append_rows(stream, 50)
    events = await stream.read(2, max_bytes)
    assert [event.sequence for event in events] == list(range(3, 3 + len(events)))
    assert 1 <= len(events) <= expected
    assert (len(events) > 1) is (expected > 1)
    assert [event.event.id for event in events] == [f"r{n}" for n in range(2, 2 + len(events))]


async def test_a_read_at_the_end_returns_nothing_without_waiting(stream: EventStream) -> None:
    assert await stream.read(0, 1000) == []
    await append_rows(stream, 3)
    assert await stream.read(3, 1000) == []
    assert [event.sequence for event in await stream.read(0, 1 << 20)] == [1, 2, 3]


COUNT = 1500
"""Events that are sent at once: several batches of them are on their way at the same time."""


@pytest.mark.parametrize("senders", [1, 7, 600])
async def test_the_events_of_one_sender_are_stored_in_its_order(
    stream: EventStream, senders: int
) -> None:
    """However many batches are unacknowledged, and even if some are refused and sent one by one."""
    await stream.append(make_event(id="taken"), expect=0)
    noted: list[Appended | EventHubError] = []
    for number in range(COUNT):
        sender = f"s{number % senders}"
        row_id = "taken" if number % 500 == 250 else f"{sender}.{number}"
        event = make_event(id=row_id)
        assert stream.submit(event, expect=0, sender=sender, on_appended=noted.append)
    async with asyncio.timeout(20):
        while len(noted) < COUNT:
            await asyncio.sleep(0.01)
    async with stream.follow(0) as batches:
        stored = [event.event.id for event in await take(batches, 1 + COUNT - 3)]
    assert sum(isinstance(outcome, WrongSequence) for outcome in noted) == 3
    assert (await stream.bounds()).last == len(stored)
    for each in range(senders):
        mine = [int(i.partition(".")[2]) for i in stored if i.startswith(f"s{each}.")]
        assert mine == sorted(mine)
