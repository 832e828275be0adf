"""A failure of one table is noted and tried again, and other tables are sealed all the same."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.config import load
from eventhub.errors import Misconfigured
from eventhub.jetstream import JetStreamLog, api
from eventhub.retention import Retention, keeps_of
from projections.segment_file import ParquetSegments
from tests.builders import channel
from tests.sealing import AT_ONCE, sealing_of, write

ENTRIES = """
url:
  first:
    pattern: /first
    handler: MessageHandler
    kwargs: {{table: notes, log: {{keep: {}}}}}
  second:
    pattern: /second
    handler: MessageHandler
    kwargs: {{table: notes, log: {{keep: {}}}}}
  third: {{pattern: /third, handler: MessageHandler, kwargs: {{table: notes}}}}
  other: {{pattern: /other, handler: MessageHandler}}
"""


def keeps(folder: Path, first: str, second: str) -> dict[str, timedelta]:
    (folder / "eventhub.yaml").write_text(ENTRIES.format(first, second))
    return keeps_of(load(folder / "eventhub.yaml", environ={}))


def test_endpoints_of_one_table_agree(tmp_path: Path) -> None:
    assert keeps(tmp_path, "1d", "24h") == {"notes": timedelta(days=1)}
    with pytest.raises(Misconfigured, match=r"second.*table notes has another one at 'first'"):
        keeps(tmp_path, "1d", "2d")


async def test_what_cannot_be_sealed_is_noted_until_it_can(broker: EmbeddedBroker) -> None:
    async with JetStreamLog.connect(
        broker.url, token=broker.token, segments=ParquetSegments()
    ) as log:
        streams = {name: await log.open(channel(name)) for name in ("broken", "whole")}
        for stream in streams.values():
            await write([("POST", "a"), ("PUT", "a"), ("PUT", "a"), ("PUT", "a")], stream)
        call, broken = f"STREAM.MSG.DELETE.{channel('broken').stream}", streams["broken"]
        for sequence in (2, 3):
            await api.call(broken._connection, call, {"seq": sequence})
        retention = Retention(log, streams, dict.fromkeys(streams, AT_ONCE))
        running = asyncio.create_task(retention.run())
        async with asyncio.timeout(20):
            while (await (await sealing_of(log, streams["whole"])).manifest())[0].trimmed < 4:
                await asyncio.sleep(0.01)
        running.cancel()
        [note] = retention.notes
        assert note.startswith("the log of broken is not sealed: the events 2 and 3")
