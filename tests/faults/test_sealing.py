"""A sealer that is killed at any step leaves a log of which nothing is lost, and that goes on."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.jetstream import JetStreamLog
from eventhub.methods import Method
from projections.segment_file import ParquetSegments
from tests.builders import channel
from tests.faults.sealer import MOST_EVENTS, STEPS
from tests.sealing import now, seal, seen, write

DEADLINE_SECONDS = 30.0
CHANGES: list[tuple[Method, str]] = [
    ("POST", "a"),
    ("POST", "b"),
    ("PUT", "a"),
    ("PUT", "a"),
    ("DELETE", "b"),
    ("PUT", "a"),
    ("POST", "c"),
    ("POST", "b"),
    ("PUT", "b"),
    ("PUT", "c"),
    ("PUT", "a"),
    ("POST", "d"),
]


@pytest.mark.parametrize("step", STEPS)
async def test_a_killed_sealer_loses_nothing(tmp_path: Path, step: str) -> None:
    async with EmbeddedBroker(tmp_path) as broker:
        connect = JetStreamLog.connect
        async with connect(broker.url, token=broker.token) as log:
            whole, stream = await log.open(channel("whole")), await log.open(channel())
            moments = [now()]
            await write(CHANGES, whole, stream)
            expected = await seen(whole, moments)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.sealer", broker.url, broker.token, step
        )
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await process.wait() == -signal.SIGKILL
        async with connect(broker.url, token=broker.token, segments=ParquetSegments()) as log:
            stream = await log.open(channel())
            assert await seen(stream, moments) == expected
            sealer = await seal(log, stream, MOST_EVENTS)
            assert await seen(stream, moments) == expected
            assert await seen(await log.open(channel()), moments) == expected
            assert sealer.manifest.trimmed == len(CHANGES)
            ends = [(each.first, each.last) for each in sealer.manifest.segments]
            assert ends == [(1, 4), (5, 8), (9, 12)]
