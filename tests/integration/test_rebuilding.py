"""A rebuild gives the tables that a projector has made, or ends with an error."""

from pathlib import Path

import pytest

from eventhub.errors import Unavailable
from eventhub.memory import MemoryStream
from projections.rebuilding import rebuild
from projections.store import Store
from tests.integration.test_projector import EVENTS, contents, ignore_progress, running
from tests.projecting import history, proved, write
from tests.snapshotting import CHAT


async def test_a_rebuild_gives_the_same_tables(tmp_path: Path) -> None:
    stream = MemoryStream(CHAT)
    await write(stream, EVENTS)
    async with Store(tmp_path / "p", [CHAT]) as store, running(store, stream) as projector:
        await projector.caught_up(len(EVENTS), 10)
    before, reached = contents(tmp_path / "p"), []
    async with Store(tmp_path / "p", [CHAT]) as store:
        await rebuild(store, stream, lambda at, last: reached.append((at, last)))
        assert (await proved(store, stream))[0].is_equal
    assert reached[-1] == (len(EVENTS), len(EVENTS))
    assert contents(tmp_path / "p") == before


async def test_a_rebuild_that_cannot_be_stored_ends_with_an_error(tmp_path: Path) -> None:
    stream = MemoryStream(CHAT)
    await write(stream, history(CHAT, [("POST", "a", {"votes": "no number"})]))
    async with Store(tmp_path / "p", [CHAT]) as store:
        with pytest.raises(Unavailable, match="is stuck at 0, before 1"):
            await rebuild(store, stream, ignore_progress)
