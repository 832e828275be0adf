"""Rows that wait for readers are bounded, for each client and in all; any single read works."""

import asyncio
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.errors import Unavailable
from projections import pace as pace_module
from projections import room as module
from projections.pace import MIN_RATE, PATIENCE_SECONDS, Pace
from projections.room import Holding, NoRoom, Room

EACH, ALL, STEP = 5, 12, 1
EVENTS = st.lists(
    st.tuples(st.sampled_from(["grow", "grow", "grow", "leave"]), st.integers(0, 11)), max_size=200
)


@given(events=EVENTS)
def test_a_client_holds_at_most_its_limit_and_its_largest_snapshot(
    events: list[tuple[str, int]],
) -> None:
    """The slow, obvious sums: of three clients with four reads each, which grow while they may."""
    room = Room(EACH, ALL)
    held = [room.holding(n % 3) for n in range(12)]
    for what, number in events:
        each = held[number]
        if what == "leave":
            each.leave()
            held[number] = room.holding(number % 3)
        elif each.has_room:
            each.grow(STEP)
        for client in range(3):
            assert beside_largest(held[client::3]) <= EACH
        assert beside_largest(held) <= ALL
        assert any(one.has_room for one in held), "the largest of all may always grow"
    for one in held:
        one.leave()
        one.leave()
        one.grow(STEP)  # in the moment of its end
    last = [room.holding(0) for _ in range(2)]
    last[0].grow(100)
    assert all(one.has_room for one in last)


def beside_largest(held: list[Holding]) -> int:
    sizes = sorted(one.size for one in held)
    return sum(sizes[:-1])


class Clock:
    """The time that a pace sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.mark.parametrize(("rate", "is_slow"), [(0.5, True), (0.9, True), (1.1, False)])
async def test_a_reader_below_the_minimum_rate_is_slow(
    monkeypatch: pytest.MonkeyPatch, rate: float, is_slow: bool
) -> None:
    clock, pace, size = Clock(monkeypatch), Pace(), 256 << 10
    for number in range(200):
        pace.give(size)
        clock.now += size / (rate * MIN_RATE)
        if number > 100 or not is_slow:
            assert pace.is_slow is is_slow
        pace.take()
        clock.now += 100.0  # the hub's own time is nobody's fault


async def test_a_reader_that_stops_is_slow_after_its_credit_even_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    pace.give(100 * MIN_RATE)
    pace.take()
    pace.give(0)  # all was given, and some of it lies in its socket
    clock.now += PATIENCE_SECONDS - 0.1
    assert not pace.is_slow
    clock.now += 0.2
    assert pace.is_slow


async def test_only_slow_readers_are_cut_off_to_make_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace_module, "PATIENCE_SECONDS", 0.0)
    room = Room(EACH, ALL)
    slow, fast, other, wanting = (room.holding(c) for c in ("me", "me", "you", "me"))
    for one in (slow, fast, other):
        one.grow(EACH)
    cut = asyncio.Event()

    async def read_nothing() -> None:
        async with slow.reading() as pace:
            pace.give(1)
            await asyncio.Event().wait()

    async def dribble() -> None:
        with pytest.raises(Unavailable, match="less than 100 KiB") as raised:
            await read_nothing()
        assert raised.value.code == "slow_reader"
        slow.leave()
        cut.set()

    async with asyncio.timeout(40), fast.reading() as quick, other.reading() as yours:
        for each in (quick, yours):
            each._credit = 1000.0
        async with asyncio.TaskGroup() as group:
            group.create_task(dribble())
            await wanting.begin(10)
        assert cut.is_set()


async def test_a_snapshot_without_room_in_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.001)
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    room = Room(EACH, ALL)
    for _ in range(2):
        room.holding("me").grow(EACH)
    with pytest.raises(NoRoom, match="for you to read") as raised:
        await room.holding("me").begin(0.01)
    assert (raised.value.code, raised.value.as_dict()["retry"]) == ("too_many_reads", True)
    await room.holding("you").begin(0.01)
    for _ in range(2):
        room.holding(None).grow(EACH)  # nobody's has no share, but counts for all
    with pytest.raises(NoRoom, match="for clients to read"):
        await room.holding("you").begin(0.01)
    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        waiting = [group.create_task(room.holding("me").begin(1000)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(NoRoom):
            await room.holding("me").begin(1000)
        for task in waiting:
            task.cancel()
    with suppress(NoRoom):
        await room.holding("me").begin(0)
