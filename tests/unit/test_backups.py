"""An archive that is not whole, or not ours, is refused before anything is made of it."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from eventhub.backups import FORMAT, MANIFEST, restore
from eventhub.config import load
from eventhub.errors import Misconfigured
from tests.e2e.command import GOOD

PIECE = b"the snapshot of a stream"


def manifest(**changes: Any) -> dict[str, Any]:
    copy: dict[str, Any] = {"config": {}, "state": {}}
    digest = hashlib.sha256(PIECE).hexdigest()
    streams = {"EH_notes": {"copy": copy, "sha256": digest}}
    return {"format": FORMAT, "version": "9", "made": "", "streams": streams} | changes


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, "is not a backup"),
        ({MANIFEST: "no JSON"}, "is not a backup"),
        ({MANIFEST: manifest(streams=[])}, "is not a backup"),
        ({MANIFEST: manifest()}, "is not a backup"),
        ({MANIFEST: manifest(), "EH_notes": "another"}, "damaged: EH_notes has another checksum"),
        ({MANIFEST: manifest(format=2), "EH_notes": PIECE}, "was written by version 9"),
    ],
)
async def test_an_archive_is_checked_whole(
    tmp_path: Path, members: dict[str, Any], reason: str
) -> None:
    path, file = tmp_path / "hub.zip", tmp_path / "eventhub.yaml"
    file.write_text(GOOD)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            text = json.dumps(content) if isinstance(content, dict) else content
            archive.writestr(name, text)
    with pytest.raises(Misconfigured, match=reason):
        await restore(load(file), path, lambda _name, _count: None, keep_positions=False)
    assert not (tmp_path / "data" / "jetstream").exists()
