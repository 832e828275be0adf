"""What tests rely on in the log in memory beyond the contract that it shares with the real one."""

import asyncio

import pytest

from eventhub.errors import EventHubError, Rejected
from eventhub.memory import MemoryLog, MemoryStream
from eventhub.stream import MAX_PAYLOAD, Appended, WrongSequence
from tests.builders import channel, make_event


async def test_an_event_is_stored_before_the_call_returns() -> None:
    stream = MemoryStream(channel())
    assert stream.store(make_event(id="a"), 0) == Appended(1, duplicate=False)
    assert (stream.length, stream.at(1).event.id, stream.sealed_at(1).sequence) == (1, "a", 1)


async def test_an_outcome_is_reported_in_the_next_turn_of_the_loop() -> None:
    """As that of the real log is never reported within the call."""
    stream = MemoryStream(channel())
    found: list[Appended | EventHubError] = []
    for expect in (0, 7):
        event = make_event(id="a")
        assert stream.submit(event, expect=expect, sender=None, on_appended=found.append)
    assert found == []
    await asyncio.sleep(0)
    assert found[0] == Appended(1, duplicate=False)
    assert isinstance(found[1], WrongSequence)


async def test_an_event_that_the_real_log_would_refuse_is_refused() -> None:
    stream = MemoryStream(channel())
    large = make_event(id="a", row={"text": "x" * MAX_PAYLOAD})
    with pytest.raises(Rejected, match="too large"):
        stream.store(large, 0)
    assert stream.length == 0


async def test_streams_and_records_live_as_long_as_their_log() -> None:
    log, other = MemoryLog(), MemoryLog()
    await (await log.open(channel())).append(make_event(id="a"), expect=0)
    assert (await log.open(channel())).length == 1
    assert (await other.open(channel())).length == 0
    await (await log.records("keys")).put("k", b"v")
    assert await (await log.records("keys")).get("k") == b"v"
    assert await (await other.records("keys")).get("k") is None


async def test_whoever_waits_for_an_append_is_woken_by_it() -> None:
    stream = MemoryStream(channel())
    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        waiting = group.create_task(stream.changed(within_seconds=None))
        await asyncio.sleep(0)
        assert not waiting.done()
        stream.store(make_event(id="a"), 0)
