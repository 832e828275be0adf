"""Large readers take one part a turn of the loop, and more while the loop is busy with others."""

import asyncio
from itertools import pairwise

from projections.shares import SECONDS_A_PART, Shares


async def taken_in_each_turn(shares: Shares, readers: int) -> list[int]:
    """Return how many readers had a share by each turn of the loop, until all had one."""
    had = 0

    async def read() -> None:
        nonlocal had
        await shares.wait()
        had += 1

    tasks = [asyncio.ensure_future(read()) for _ in range(readers)]
    by_turn = []
    while had < readers:
        await asyncio.sleep(0)
        by_turn.append(had)
    await asyncio.gather(*tasks)
    return by_turn


async def test_readers_of_a_quick_loop_take_turns() -> None:
    """However many want a part at once, other work of the loop comes between any two."""
    by_turn = await taken_in_each_turn(Shares(clock=lambda: 0.0), readers=10)
    assert max(after - before for before, after in pairwise(by_turn)) == 1


async def test_a_busy_loop_gives_out_a_part_for_each_millisecond() -> None:
    """Turns of five milliseconds give out six parts, so large readers are not starved."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 5.5 * SECONDS_A_PART
        return now

    by_turn = await taken_in_each_turn(Shares(clock), readers=20)
    assert max(after - before for before, after in pairwise(by_turn)) == 6


async def test_a_reader_that_has_left_gets_no_share() -> None:
    """The reader behind it is next, in the same turn."""
    shares = Shares(clock=lambda: 0.0)
    gone = [asyncio.ensure_future(shares.wait()) for _ in range(50)]
    last = asyncio.ensure_future(shares.wait())
    await asyncio.sleep(0)
    for each in gone:
        each.cancel()
    for _ in range(4):
        await asyncio.sleep(0)
    assert last.done()


async def test_shares_are_given_again_after_a_pause() -> None:
    """A reader that comes when nobody waits is not charged for the pause, or forgotten."""
    shares = Shares()
    for _ in range(3):
        await asyncio.wait_for(shares.wait(), 5)
        await asyncio.sleep(0)
