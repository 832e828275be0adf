"""A side takes a message of the log as if it came again, and says who sees a row."""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from eventhub.channel import endpoints_of
from eventhub.errors import EventHubError
from eventhub.event import Event, StoredEvent, encode
from eventhub.rehearsal.side import Side
from tests.unit.rehearsal.builders import TIME, config, event, put


def made(folder: Path, **kwargs: Any) -> tuple[Side, Any]:
    loaded = config(folder, "file", **kwargs)
    [endpoint] = endpoints_of(loaded)
    return Side(endpoint.config, endpoint.channel, folder), endpoint


def stored(written: Event, side: Side) -> StoredEvent:
    return StoredEvent.read(7, encode(written), side.channel.columns)


async def test_a_message_becomes_the_event_that_it_was(tmp_path: Path) -> None:
    side, endpoint = made(tmp_path)
    posted = event(endpoint, "a", "ann", body="x", n=3)
    for was in (posted, put(posted, endpoint, n=4)):
        replayed = await side.replay(stored(was, side), was.message)
        assert isinstance(replayed, Event)
        assert msgspec.structs.replace(replayed, write=was.write, created=was.created) == was


async def test_its_time_is_that_of_the_event(tmp_path: Path) -> None:
    side, endpoint = made(tmp_path, timestamps=["hub"])
    was = event(endpoint, "a")
    replayed = await side.replay(stored(was, side), {**was.message, "timestamp": "2020-01-01"})
    assert isinstance(replayed, Event)
    assert replayed.row is not None
    assert (
        replayed.row["timestamp"] == datetime.fromisoformat(TIME).replace(tzinfo=None).isoformat()
    )


async def test_an_alert_that_may_no_longer_be_suppressed_refuses_the_message(
    tmp_path: Path,
) -> None:
    alert = {"to": "ann@example.org", "suppressible": False}
    side, endpoint = made(tmp_path, alert=alert)
    was = msgspec.structs.replace(event(endpoint, "a"), alert=False)
    replayed = await side.replay(stored(was, side), was.message)
    assert isinstance(replayed, EventHubError)
    assert replayed.code == "bad_control"


def test_a_row_without_a_user_has_two_kinds_of_readers(tmp_path: Path) -> None:
    side, _ = made(tmp_path, rules={"columns": {"n": {"read": "none"}}})
    row = {"body": "x", "n": 1, "id": "a", "user": None, "timestamp": None}
    seen = side.seen(row)
    assert set(seen) == {"clients without a login", "other users"}
    assert seen["other users"] == {"body", "id", "user", "timestamp"}
