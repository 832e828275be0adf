"""What many senders have in progress when the server is killed is stored once, in their order."""

import asyncio
import os
import signal
from functools import partial

import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.errors import EventHubError
from eventhub.jetstream import JetStreamLog
from eventhub.jetstream.writer import AHEAD
from eventhub.stream import Appended
from tests.builders import channel, make_event

EVENTS, SENDERS = 12_000, 4 * AHEAD
KILLS = (2_000, 5_000, 9_000)
"""Answers after which the server is killed, while others of the same batches are in progress."""
DEADLINE_SECONDS = 50.0


@pytest.mark.timeout(60)
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
