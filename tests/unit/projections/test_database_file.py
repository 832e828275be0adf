"""The bytes of a checkpoint stay the same until the next one, whatever is committed."""

from pathlib import Path

import pytest

from eventhub.errors import Unavailable
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
