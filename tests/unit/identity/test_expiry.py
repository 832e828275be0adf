"""One timer ends a connection with its login."""

import asyncio

import pytest

from eventhub.errors import Expired, Rejected, Revoked
from eventhub.identity.access import AccessState
from eventhub.identity.expiry import Expiry, LoginValidity, wall_clock, while_valid
from tests.builders import logins


def after(seconds: float) -> LoginValidity:
    return LoginValidity(wall_clock() + seconds, frozenset(), 0.0, AccessState())


async def calls_of(seconds: float) -> list[str]:
    """Return the calls before the end of a login that ends in some seconds."""
    calls: list[str] = []
    ended: asyncio.Future[Rejected] = asyncio.get_running_loop().create_future()
    Expiry(after(seconds), lambda: calls.append("warn"), ended.set_result)
    async with asyncio.timeout(40):
        assert isinstance(await ended, Expired)
    return calls


async def test_a_login_that_ends_soon_is_warned_at_once() -> None:
    assert await calls_of(0.2) == ["warn"]


async def test_a_login_that_has_ended_gets_no_warning() -> None:
    assert await calls_of(-5) == []


async def test_a_cancelled_timer_calls_nothing() -> None:
    calls: list[str] = []
    watched = Expiry(after(0.05), lambda: None, lambda _: calls.append("end"))
    watched.cancel()
    assert await calls_of(0.1) == ["warn"]  # which is longer
    assert calls == []


async def test_a_block_ends_with_the_login_and_keeps_its_own_timeouts() -> None:
    with pytest.raises(Expired):
        async with while_valid(after(0.05)):
            await asyncio.Event().wait()
    with pytest.raises(TimeoutError):
        async with while_valid(after(600)), asyncio.timeout(0.01):
            await asyncio.Event().wait()
    async with while_valid(None):
        pass


async def test_a_revocation_ends_connections_and_blocks_of_its_login_only() -> None:
    known, reasons = logins(), list[str]()
    ended = asyncio.Event()

    def note(reason: Rejected) -> None:
        reasons.append(type(reason).__name__)
        ended.set()

    mine, other = (
        LoginValidity(wall_clock() + 600, frozenset((f"user.{name}",)), wall_clock(), known.state)
        for name in ("ann", "bob")
    )
    Expiry(mine, lambda: None, note)
    Expiry(other, lambda: None, note).cancel()

    async def work() -> None:
        async with while_valid(other), while_valid(mine), asyncio.timeout(40):
            await known.end_user("ann")
            await asyncio.Event().wait()

    with pytest.raises(Revoked):
        await work()
    await ended.wait()
    assert reasons == ["Revoked"]
    assert (mine.is_revoked, other.is_revoked) == (True, False)
    assert known.state._watches == {}


async def test_a_login_that_was_revoked_before_ends_at_once() -> None:
    known = logins()
    login = LoginValidity(None, frozenset(("user.ann",)), wall_clock(), known.state)
    await known.end_user("ann")
    ended: asyncio.Future[Rejected] = asyncio.get_running_loop().create_future()
    Expiry(login, lambda: None, ended.set_result)
    async with asyncio.timeout(40):
        assert isinstance(await ended, Revoked)
    with pytest.raises(Revoked):
        async with while_valid(login):
            pytest.fail("it was entered")
    with pytest.raises(Revoked):
        login.check(wall_clock())
