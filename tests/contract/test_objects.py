"""An object is there whole under its name, or not there."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from eventhub.jetstream import JetStreamLog
from eventhub.objects import Listed, Objects
from projections.stored.folder import FolderObjects
from projections.stored.s3 import S3Objects
from tests.cluster import SERVERS, Cluster
from tests.s3_server import s3_server

ON_CLUSTER = pytest.param("on_cluster", marks=pytest.mark.xdist_group("cluster"))


@pytest.fixture(params=["in_folder", "in_s3", "on_server", ON_CLUSTER])
def objects(request: pytest.FixtureRequest) -> Objects:
    found: Objects = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def in_folder(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "objects")


@pytest.fixture
def in_s3(tmp_path: Path) -> Iterator[S3Objects]:
    with s3_server(tmp_path / "s3") as server:
        yield server.client()


@pytest.fixture
async def on_server(log: JetStreamLog) -> Objects:
    return await log.objects("EVENTHUB_test", writes=True)


@pytest.fixture
async def on_cluster(servers: Cluster) -> AsyncIterator[Objects]:
    async with JetStreamLog.connect(servers.urls, replicas=SERVERS) as log:
        yield await log.objects("EVENTHUB_test", writes=True)


async def test_objects_are_listed_read_and_deleted(objects: Objects) -> None:
    large = os.urandom(3_000_001)
    assert await objects.listed() == Listed([], [])
    assert await objects.get("a.json") is None
    await objects.put("b-1.0002", large)
    await objects.put("a.json", b"{}")
    await objects.put("empty", b"")
    assert await objects.listed() == Listed(["a.json", "b-1.0002", "empty"], [])
    assert await objects.get("b-1.0002") == large
    assert await objects.get("a.json") == b"{}"
    assert await objects.get("empty") == b""
    await objects.delete("b-1.0002")
    await objects.delete("b-1.0002")
    assert await objects.get("b-1.0002") is None
    assert await objects.listed() == Listed(["a.json", "empty"], [])
    await objects.put("b-1.0002", b"again")
    assert await objects.get("b-1.0002") == b"again"
