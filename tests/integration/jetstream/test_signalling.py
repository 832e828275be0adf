"""Signals go between processes, and outlive a lost connection."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.errors import Unavailable
from eventhub.jetstream import JetStreamLog
from tests.builders import channel
from tests.nats_server import nats_server


async def test_another_process_hears_a_signal_and_no_stream_stores_it(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    stream, came = await log.open(channel()), asyncio.Event()
    async with (
        JetStreamLog.connect(broker.url, token=broker.token) as other,
        other.signals.hear(channel(), "sent", lambda _: came.set(), lambda: None),
        asyncio.timeout(40),
    ):
        while not came.is_set():  # the server may not know yet that it listens
            await log.signals.say(channel(), "sent", b"x")
            await asyncio.sleep(0.01)
    assert await stream.end() == 0


async def test_a_listener_learns_of_a_gap_and_hears_on_after_a_restart(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    heard, gap = asyncio.Event(), asyncio.Event()
    async with log.signals.hear(channel(), "sent", lambda _: heard.set(), gap.set):
        os.kill(broker.pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            await gap.wait()
            while not heard.is_set():
                with suppress(Unavailable):
                    await log.signals.say(channel(), "sent", b"x")
                await asyncio.sleep(0.01)


async def test_a_signal_that_the_server_refuses_is_an_error_each_time(tmp_path: Path) -> None:
    denied = {"publish": {"deny": "eh-now.*.sent"}}
    users = [{"user": "u", "password": "p", "permissions": denied}]
    config = {"jetstream": {"store_dir": str(tmp_path)}, "authorization": {"users": users}}
    with nats_server(tmp_path, config) as url:
        async with JetStreamLog.connect(url, login=("u", "p")) as log:
            for _ in range(2):
                with pytest.raises(Unavailable, match="not allowed"):
                    await log.signals.say(channel(), "sent", b"x")
            await log.signals.say(channel(), "presence", b"x")
