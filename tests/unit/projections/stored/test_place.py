"""Snapshots are stored where the configuration says."""

import sys
from pathlib import Path

import pytest

from eventhub.config import Snapshots
from eventhub.errors import Misconfigured
from projections.stored.folder import FolderObjects
from projections.stored.place import store_outside
from projections.stored.s3 import S3Objects


@pytest.mark.parametrize("place", [None, "none", "broker"])
def test_the_broker_needs_no_store_outside(place: str | None) -> None:
    assert store_outside(Snapshots(to=place)) is None


async def test_a_folder_is_a_store(tmp_path: Path) -> None:
    objects = store_outside(Snapshots(to=str(tmp_path / "snapshots")))
    assert isinstance(objects, FolderObjects)
    await objects.put("a", b"1")
    assert (tmp_path / "snapshots" / "a").read_bytes() == b"1"


def test_a_bucket_is_a_store() -> None:
    snapshots = Snapshots(to="s3://bucket/prefix", endpoint="http://127.0.0.1:9", region="r")
    assert isinstance(store_outside(snapshots), S3Objects)


def test_a_bucket_without_what_speaks_s3_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "projections.stored.s3", None)
    with pytest.raises(Misconfigured, match=r"pip install 'eventhub\[s3\]'"):
        store_outside(Snapshots(to="s3://bucket/prefix"))
