"""Tables continue where they are, or start over if their log is another one or has lost events."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from eventhub.channel import Channel
from eventhub.memory import MemoryStream
from projections.progress import Progress
from projections.store import Store
from projections.taking_up import take_up, take_up_all
from tests.projecting import history
from tests.snapshotting import CHAT
from tests.storing import filled

EVENTS = history(CHAT, [("POST", f"r{n}", {"votes": n}) for n in range(10)])


async def projected(store: Store, stream: MemoryStream, end: int) -> None:
    """Store some events in the tables of a stream."""
    name = stream.channel.name
    await store.begin(name, stream.epoch)
    await store.append(name, EVENTS[:end])
    await store.fold(name)


@pytest.mark.parametrize("end", [0, 4, 10])
async def test_tables_of_the_log_continue_where_they_are(tmp_path: Path, end: int) -> None:
    stream = await filled(CHAT, EVENTS)
    async with Store(tmp_path / "p", [CHAT]) as store:
        await projected(store, stream, end)
        assert await take_up(store, stream) == Progress(stream.epoch, end, end)


async def test_a_restored_older_log_starts_the_projection_over(tmp_path: Path) -> None:
    """Its next events would count as stored already."""
    stream = await filled(CHAT, EVENTS[:6])
    async with Store(tmp_path / "p", [CHAT]) as store:
        await projected(store, stream, 10)
        with capture_logs() as lines:
            assert await take_up(store, stream) == Progress(stream.epoch)
        assert lines[-1] == {
            "event": "projection_ahead_of_log",
            "log_level": "error",
            "channel": "chat",
            "head": 10,
            "last": 6,
        }


async def test_all_tables_of_logs_that_no_longer_exist_are_emptied(tmp_path: Path) -> None:
    other = Channel("notes", CHAT.columns)
    old, new = await filled(CHAT, EVENTS), await filled(CHAT, EVENTS)
    kept = await filled(other, EVENTS)
    async with Store(tmp_path / "p", [CHAT, other]) as store:
        await projected(store, old, 10)
        await projected(store, kept, 10)
        await take_up_all(store, [new, kept])
        assert store.progress("chat") == Progress(new.epoch)
        assert store.progress("notes") == Progress(kept.epoch, 10, 10)
