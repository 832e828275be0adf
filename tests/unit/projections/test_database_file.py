"""The bytes of a checkpoint stay the same until the next one, whatever is committed."""

from pathlib import Path

import pytest

from eventhub.errors import Unavailable
from projections import database
from projections.store import Store
from tests.snapshotting import CHAT
from tests.storing import EVENTS


async def test_a_checkpoint_holds_until_the_next_one(tmp_path: Path) -> None:
    async with Store(tmp_path / "p", [CHAT]) as store:
        await store.append("chat", EVENTS[:500])
        async with store.at_checkpoint() as checkpoint:
            whole = checkpoint.read(0, checkpoint.size)
            await store.append("chat", EVENTS[500:])
            await store.fold("chat")
            assert checkpoint.read(0, checkpoint.size) == whole
            checkpoint.check()
            assert checkpoint.progress["chat"].head == 500
            async with store.at_checkpoint() as later:
                assert later.progress["chat"].head == len(EVENTS)
            with pytest.raises(Unavailable, match="another checkpoint"):
                checkpoint.check()
    with pytest.raises(OSError, match="descriptor"):
        checkpoint.read(0, 1)


async def test_a_large_wal_waits_for_the_readers_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "MAX_WAL_BYTES", 1)
    async with Store(tmp_path / "p", [CHAT]) as store:
        await store.append("chat", EVENTS[:500])
        async with store.at_checkpoint() as checkpoint:
            await store.append("chat", EVENTS[500:700])
            await store.fold("chat")  # behind what `append` leaves to do
            checkpoint.check()
        await store.append("chat", EVENTS[700:])
        await store.fold("chat")
        with pytest.raises(Unavailable, match="another checkpoint"):
            checkpoint.check()
