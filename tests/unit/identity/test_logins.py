"""Logins are stored before they count, reach every process, and are bounded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eventhub.identity.access import Marks
from eventhub.identity.bearer import LEEWAY
from eventhub.identity.expiry import wall_clock
from eventhub.identity.logins import (
    MAX_AGENT,
    SESSIONS_OF_USER,
    Client,
    Logins,
    denied_key,
    session_key,
    session_token,
)
from eventhub.memory import MemoryLog
from eventhub.memory_records import MemoryRecords

CLIENT = Client("192.0.2.1", "Browser/1")
MARK: Marks = frozenset((session_key("one"),))


@asynccontextmanager
async def running(logins: Logins) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(logins.run())
        yield
        task.cancel()


async def test_a_login_of_one_gateway_holds_and_ends_on_another() -> None:
    log = MemoryLog()
    one, other = await Logins.read(log), await Logins.read(log)
    async with running(one), running(other), asyncio.timeout(40):
        await one.begin_session("one", "ann", wall_clock() + 600, CLIENT)
        await other.until_known(session_key("one"))
        ended = asyncio.Event()
        other.state.watch(MARK, 0.0, ended.set)
        assert await one.end_session(session_token("one"))
        await ended.wait()
        assert not await one.end_session(session_token("one"))
    assert other.sessions() == []


async def test_a_login_is_there_as_soon_as_it_is_stored() -> None:
    logins = Logins(MemoryRecords(None))
    await logins.begin_session("one", "ann", wall_clock() + 600, CLIENT)
    assert not logins.state.has_ended(MARK, 0.0)


async def test_what_was_written_while_a_store_was_read_is_not_lost() -> None:
    records = MemoryRecords(None)
    logins = Logins(records)
    async with records.watch() as before:  # it is read, and then a login is stored
        await logins.begin_session("one", "ann", wall_clock() + 600, CLIENT)
        whole = (await anext(before)).records
        logins.state.replace([*whole, *logins._newer(whole)])
    assert not logins.state.has_ended(MARK, 0.0)


async def test_the_sessions_of_a_user_are_bounded_and_the_oldest_ends_first() -> None:
    logins = Logins(MemoryRecords(None))
    for number in range(SESSIONS_OF_USER + 2):
        await logins.begin_session(str(number), "ann", wall_clock() + 600, CLIENT)
    await logins.begin_session("one", "bob", wall_clock() + 600, CLIENT)
    held = [token for token, _ in logins.sessions("ann")]
    assert held == [session_token(str(number)) for number in range(2, SESSIONS_OF_USER + 2)]
    assert [session.user for _, session in logins.sessions("bob")] == ["bob"]


async def test_a_revoked_token_does_not_hold_again_when_it_has_just_expired() -> None:
    logins, key, now = Logins(MemoryRecords(None)), denied_key("jti", "one"), wall_clock()
    await logins.deny(key, now)
    logins.state.forget(now + LEEWAY)
    assert logins.state.has_ended(frozenset((key,)), now)


async def test_what_may_be_used_once_is_used_once_on_all_gateways() -> None:
    log, key, ends = MemoryLog(), denied_key("state", "one"), wall_clock() + 600
    one, other = await Logins.read(log), await Logins.read(log)
    at_once = await asyncio.gather(*(one.use_up(key, ends) for _ in range(3)))
    assert sorted(at_once) == [False, False, True]
    async with running(other), asyncio.timeout(40):
        await other.until_known(key)
        assert not await other.use_up(key, ends)


async def test_what_a_browser_calls_itself_is_short_and_printable() -> None:
    logins = Logins(MemoryRecords(None))
    agent = "\x1b[31mred\u202e" + "x" * 5000
    await logins.begin_session("one", "ann", wall_clock() + 600, Client("192.0.2.1", agent))
    [(_, session)] = logins.sessions()
    assert session.agent.startswith("[31mredx")
    assert len(session.agent) < MAX_AGENT


async def test_a_login_after_a_logout_everywhere_holds() -> None:
    logins = Logins(MemoryRecords(None))
    await logins.begin_session("old", "ann", wall_clock() + 600, CLIENT)
    await logins.end_user("ann")
    assert logins.sessions() == []
    await logins.begin_session("one", "ann", wall_clock() + 600, CLIENT)
    assert not logins.state.has_ended(MARK, 0.0)
