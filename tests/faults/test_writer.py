"""What many senders have in progress when the server is killed is stored once, in their order."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

import eventhub.jetstream.write
import eventhub.jetstream.write_queue
from eventhub.broker import EmbeddedBroker
from eventhub.errors import EventHubError, Unavailable
from eventhub.jetstream import JetStreamLog
from eventhub.jetstream.writer import AHEAD
from eventhub.stream import Appended
from tests.builders import channel, make_event

EVENTS, SENDERS = 12_000, 4 * AHEAD
KILLS = (2_000, 5_000, 9_000)
"""Answers after which the server is killed, while others of the same batches are in progress."""
DEADLINE_SECONDS = 50.0


async def test_batches_interrupted_by_a_kill_are_stored_once_and_in_order(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    stream = await log.open(channel())
    await broker.stage_in_memory()
    outcomes: dict[str, Appended | EventHubError] = {}
    everything = asyncio.Event()

    def note(row_id: str, outcome: Appended | EventHubError) -> None:
        assert row_id not in outcomes
        outcomes[row_id] = outcome
        if len(outcomes) in KILLS:
            os.kill(broker.pid, signal.SIGKILL)
        if len(outcomes) == EVENTS:
            everything.set()

    async with asyncio.timeout(DEADLINE_SECONDS):
        for number in range(EVENTS):
            row_id = f"{number % SENDERS}.{number}"
            assert stream.submit(
                make_event(id=row_id),
                expect=0,
                sender=number % SENDERS,
                on_appended=partial(note, row_id),
            )
            if number % 50 == 0:
                await asyncio.sleep(0)  # so that batches are in progress
        await everything.wait()
    stored: list[tuple[str, int]] = []
    async with stream.follow(0) as batches:
        while len(stored) < EVENTS:
            stored += [(each.event.id, each.sequence) for each in await anext(batches)]
    # Each answer names the sequence of its event, and no event is stored twice.
    answered = {r: t.sequence for r, t in outcomes.items() if isinstance(t, Appended)}
    assert answered == dict(stored)
    assert (await stream.bounds()).last == EVENTS
    for sender in range(SENDERS):
        mine = [row_id for row_id, _ in stored if row_id.startswith(f"{sender}.")]
        assert mine == sorted(mine, key=lambda row_id: int(row_id.partition(".")[2]))


async def until(condition: Callable[[], object], *, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_without_a_broker_a_write_is_refused_and_not_stored_later(tmp_path: Path) -> None:
    async with AsyncExitStack() as until_now:
        broker = await until_now.enter_async_context(EmbeddedBroker(tmp_path))
        async with JetStreamLog.connect(broker.url, token=broker.token) as log:
            stream = await log.open(channel())
            await until_now.aclose()
            await until(lambda: not log.is_connected)
            with pytest.raises(Unavailable) as refusal:
                await stream.append(make_event(id="a"), expect=0)
    assert refusal.value.code == "unavailable"
    async with (
        EmbeddedBroker(tmp_path) as broker,
        JetStreamLog.connect(broker.url, token=broker.token) as log,
    ):
        assert (await (await log.open(channel())).bounds()).last == 0


async def test_a_write_without_an_answer_has_an_unknown_outcome(
    broker: EmbeddedBroker, log: JetStreamLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = await log.open(channel())
    event = make_event(id="a")
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        with monkeypatch.context() as hurried:
            hurried.setattr(eventhub.jetstream.write, "UNKNOWN_SECONDS", 0.5)
            with pytest.raises(Unavailable) as refusal:
                await stream.append(event, expect=0)
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    assert refusal.value.code == "unknown_outcome"
    assert (await stream.append(event, expect=0)).sequence == 1
    assert (await stream.bounds()).last == 1


async def test_writers_wait_for_room_in_a_full_queue(
    log: JetStreamLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventhub.jetstream.write_queue, "QUEUE_COUNT", 3)
    stream = await log.open(channel())
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        events = [make_event(id=f"r{number}") for number in range(100)]
        tasks = [group.create_task(stream.append(event, expect=0)) for event in events]
    assert [task.result().sequence for task in tasks] == list(range(1, 101))
