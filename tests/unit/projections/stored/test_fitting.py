"""A table of a snapshot belongs to a log if its last event is the one that the log has there."""

from datetime import datetime

import msgspec
import pytest

from eventhub.errors import Damaged
from eventhub.memory import MemoryStream
from eventhub.stream import Bounds
from projections.stored.fitting import Last, Log
from projections.stored.manifest import Held
from projections.tables import described
from tests.snapshotting import CHAT
from tests.storing import EVENTS, filled


def test_a_snapshot_from_before_the_beginning_of_the_log_does_not_fit() -> None:
    stream = MemoryStream(CHAT)
    log = Log(stream, Bounds(50, 90))
    held = Held(stream.epoch, 48, 48, described(CHAT.columns))
    assert log.objection(held) == "is at event 48, and the log begins with 50"
    assert log.objection(msgspec.structs.replace(held, head=49)) == ""


async def test_the_last_event_is_compared_with_that_of_the_log() -> None:
    log = await Log.of(await filled(CHAT, EVENTS[:10]))
    last = Last(7, "r6", "POST", datetime.fromisoformat("2026-11-23T10:00:00.000007"))
    await log.check(last)
    for change in (
        {"id": "r5"},
        {"method": "PUT"},
        {"time": last.time.replace(microsecond=8)},
        {"sequence": 11},
    ):
        with pytest.raises(Damaged, match="has another event"):
            await log.check(last._replace(**change))
