"""The best snapshot is one that saves enough, and none that was refused."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from eventhub.errors import Damaged
from projections.progress import Progress
from projections.stored.finding import Finder
from projections.stored.fitting import Log
from projections.stored.folder import FolderObjects
from tests.snapshotting import CHAT
from tests.storing import DAMAGES, EVENTS, Damage, filled, rows, snapshot_of


async def test_a_snapshot_is_found_if_it_saves_enough_and_again_unless_it_was_refused(
    tmp_path: Path,
) -> None:
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    older, newer = [
        await snapshot_of(tmp_path, stream, EVENTS[:end], objects) for end in (500, 700)
    ]
    finder = Finder(objects, [await Log.of(stream)])
    present = {"chat": Progress(stream.epoch, 300, 300)}
    assert await finder.best(present, 401) is None
    for _ in range(2):
        assert await finder.best(present, 400) == newer
    assert finder.left_by(newer) == len(EVENTS) - 700
    with capture_logs() as lines:
        finder.refuse(newer.name, "is broken")
    assert [(line["event"], line["reason"]) for line in lines] == [
        ("snapshot_refused", "is broken")
    ]
    assert await finder.best(present, 200) == older
    assert await finder.best(present, 201) is None


async def test_a_fetched_snapshot_is_the_tables_that_were_stored(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path / "objects")
    stream = await filled(CHAT, EVENTS)
    made = await snapshot_of(tmp_path, stream, EVENTS[:700], objects)
    await Finder(objects, [await Log.of(stream)]).fetch(made, tmp_path / "fetched")
    for table in ("chat", "chat_history"):
        assert rows(tmp_path / "fetched", table) == rows(tmp_path / "700.duckdb", table)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_snapshot_is_not_found_or_not_fetched(
    damage: Damage, tmp_path: Path
) -> None:
    folder = tmp_path / "objects"
    stream = await filled(CHAT, EVENTS)
    await snapshot_of(tmp_path, stream, EVENTS[:700], FolderObjects(folder))
    reason = damage(folder)
    finder = Finder(FolderObjects(folder), [await Log.of(stream)])
    with capture_logs() as lines:
        found = await finder.best({}, 1)
    if found is None:
        assert reason in lines[0]["reason"]
    else:
        with pytest.raises(Damaged, match=reason):
            await finder.fetch(found, tmp_path / "fetched")
