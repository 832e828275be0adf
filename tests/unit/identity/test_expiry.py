"""A login's end is noticed by one timer, which goes with its connection."""

import asyncio

import pytest

from eventhub.errors import Expired
from eventhub.identity.expiry import Expiry, wall_clock, while_valid


async def calls_within(seconds: float) -> list[str]:
    """Return what is called until a login of so many seconds ends."""
    calls: list[str] = []
    ended = asyncio.Event()
    Expiry(wall_clock() + seconds, lambda: calls.append("warn"), ended.set)
    async with asyncio.timeout(10):
        await ended.wait()
    return calls


async def test_what_ends_soon_is_warned_at_once() -> None:
    assert await calls_within(0.2) == ["warn"]


async def test_what_is_over_is_not_warned() -> None:
    assert await calls_within(-5) == []


async def test_a_cancelled_one_calls_nobody() -> None:
    calls: list[str] = []
    watched = Expiry(wall_clock() + 0.05, lambda: None, lambda: calls.append("end"))
    watched.cancel()
    await asyncio.sleep(0.2)
    assert calls == []


async def test_a_block_ends_with_the_login_and_keeps_its_own_timeouts() -> None:
    with pytest.raises(Expired):
        async with while_valid(wall_clock() + 0.05):
            await asyncio.Event().wait()
    with pytest.raises(TimeoutError):
        async with while_valid(wall_clock() + 600), asyncio.timeout(0.01):
            await asyncio.Event().wait()
    async with while_valid(None):
        pass
