"""One timer ends a connection with its login."""

import asyncio

import pytest

from eventhub.errors import Expired
from eventhub.identity.expiry import Expiry, wall_clock, while_valid


async def calls_of(seconds: float) -> list[str]:
    """Return the calls before the end of a login that ends in some seconds."""
    calls: list[str] = []
    ended = asyncio.Event()
    Expiry(wall_clock() + seconds, lambda: calls.append("warn"), ended.set)
    async with asyncio.timeout(10):
        await ended.wait()
    return calls


async def test_a_login_that_ends_soon_is_warned_at_once() -> None:
    assert await calls_of(0.2) == ["warn"]


async def test_a_login_that_has_ended_gets_no_warning() -> None:
    assert await calls_of(-5) == []


async def test_a_cancelled_timer_calls_nothing() -> None:
    calls: list[str] = []
    watched = Expiry(wall_clock() + 0.05, lambda: None, lambda: calls.append("end"))
    watched.cancel()
    assert await calls_of(0.1) == ["warn"]  # which is longer
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
