"""What a killed process was writing to a folder is unfinished, and can be deleted."""

from pathlib import Path

import pytest

from eventhub.errors import Unavailable
from eventhub.objects import Listed
from projections.stored.folder import FolderObjects


async def test_an_unfinished_file_is_listed_as_such_and_deleted(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    (tmp_path / ".a.partial").write_bytes(b"x")
    (tmp_path / ".hidden").write_bytes(b"x")
    assert await objects.listed() == Listed([], ["a"])
    assert await objects.get("a") is None
    await objects.delete("a")
    assert await objects.listed() == Listed([], [])


async def test_a_folder_that_cannot_be_used_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    objects = FolderObjects(tmp_path / "file")
    for attempt in (objects.listed(), objects.put("a", b""), objects.get("a"), objects.delete("a")):
        with pytest.raises(Unavailable, match="file"):
            await attempt
