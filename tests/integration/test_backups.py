"""A restore that fails takes back what it has made, and nothing else."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eventhub.backups import backup, restore
from eventhub.broker import EmbeddedBroker
from eventhub.channel import Channel
from eventhub.config import load
from eventhub.errors import EventHubError
from eventhub.jetstream import JetStreamLog
from tests.builders import channel
from tests.e2e.command import GOOD, written

FIRST, SECOND = channel("first"), channel("second")


async def test_a_stream_that_another_process_makes_meanwhile_is_left_alone(
    log: JetStreamLog, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    text = f"{GOOD}\nbroker: {{url: {broker.url}, token: {broker.token}}}\n"
    folder = tmp_path / "hub"
    folder.mkdir()
    config, archive = load(written(folder, text)), tmp_path / "hub.zip"
    for each in (FIRST, SECOND):
        await log.open(each)
    await backup(config, archive, lambda _name, _messages: None)
    for each in (FIRST, SECOND):
        await log.copies.delete(each.stream)

    def meanwhile(_name: str, _messages: int) -> None:
        with ThreadPoolExecutor(1) as other:
            other.submit(asyncio.run, _make(broker, SECOND)).result()

    with pytest.raises(EventHubError, match="already in use"):
        await restore(config, archive, meanwhile, keep_positions=False)
    assert await log.copies.stored() == [SECOND.stream]


async def _make(broker: EmbeddedBroker, channel: Channel) -> None:
    async with JetStreamLog.connect(broker.url, token=broker.token) as log:
        await log.open(channel)
