"""A reader's credit runs down while rows wait for it, and what it takes earns credit back."""

import asyncio
import time

import pytest

from eventhub.errors import Unavailable
from projections.pace import MIN_RATE, PATIENCE_SECONDS, Pace


class Clock:
    """A clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def take(pace: Pace, clock: Clock, size: int, seconds: float) -> None:
    """Take bytes for some time."""
    pace.give(size)
    clock.now += seconds
    pace.take()


async def test_a_reader_at_the_minimum_rate_is_never_slow(clock: Clock) -> None:
    pace = Pace()
    for _ in range(100):
        take(pace, clock, MIN_RATE, 1.0)
        assert not pace.is_slow


async def test_a_reader_below_the_minimum_rate_is_slow_after_its_credit(clock: Clock) -> None:
    pace = Pace()
    for _ in range(int(2 * PATIENCE_SECONDS) - 1):
        take(pace, clock, MIN_RATE // 2, 1.0)
        assert not pace.is_slow
    take(pace, clock, MIN_RATE // 4, 1.0)
    pace.give(MIN_RATE)
    clock.now += 1.0
    assert pace.is_slow


async def test_the_credit_stays_while_the_reader_waits_for_the_hub(clock: Clock) -> None:
    pace = Pace()
    take(pace, clock, 0, PATIENCE_SECONDS - 1)
    clock.now += 1000.0
    assert not pace.is_slow


async def test_a_fast_reader_cannot_save_up_credit(clock: Clock) -> None:
    pace = Pace()
    take(pace, clock, 1000 * MIN_RATE, 0.0)
    pace.give(1)
    clock.now += PATIENCE_SECONDS
    assert pace.is_slow


async def test_a_cut_ends_the_block_with_an_error_that_says_what_to_do() -> None:
    pace = Pace()

    async def read() -> None:
        async with asyncio.timeout(40), pace.cuttable():
            pace.cut()
            await asyncio.Event().wait()

    with pytest.raises(Unavailable, match="connect again") as caught:
        await read()
    assert caught.value.code == "slow_reader"


async def test_a_timeout_of_the_reader_itself_is_not_a_cut() -> None:
    with pytest.raises(TimeoutError):
        async with Pace().cuttable():
            raise TimeoutError
