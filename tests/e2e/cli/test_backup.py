"""`eventhub backup` copies a hub while it works; `eventhub restore` makes a hub that goes on."""

import asyncio
import json
import shutil
import stat
import zipfile
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from eventhub.backups import MOVING, move
from eventhub.config import load
from eventhub.errors import Unavailable
from eventhub.opening import open_log
from tests.cluster import SERVERS, cluster
from tests.e2e.client import connect
from tests.e2e.command import GOOD, post, refused, rows, run, written
from tests.e2e.hub import Hub, HubFactory


def filled(hub: Hub) -> list[dict[str, object]]:
    """Write, change and delete rows, and return what is left."""
    url = f"{hub.url}/notes"
    for number in range(20):
        post(url, id=str(number), n=number)
    post(url, _method="PUT", id="3", body="changed")
    post(url, _method="DELETE", id="7")
    return rows(url)


def saved(hub: Hub, archive: Path) -> Path:
    done = run("backup", hub.folder / "eventhub.yaml", archive, "--data", hub.folder / "data")
    assert done.returncode == 0, done.stderr
    return archive


def test_a_hub_is_restored_from_a_backup_made_while_it_runs(
    hub_factory: HubFactory, tmp_path: Path
) -> None:
    hub = hub_factory(GOOD)
    before = filled(hub)
    key = (hub.folder / "data" / "session.key").read_bytes()
    archive = saved(hub, tmp_path / "hub.zip")
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    post(f"{hub.url}/notes", id="later")
    file, data = hub.folder / "eventhub.yaml", hub.folder / "data"
    assert refused(2, run("restore", file, archive, "--data", data)).endswith("stop the hub first")
    hub.stop()
    assert "already" in refused(2, run("restore", file, archive, "--data", data))

    shutil.rmtree(data)
    done = run("restore", file, archive, "--data", data)
    assert (done.returncode, done.stderr) == (0, "")
    assert "EH_notes: 22 messages\n" in done.stdout
    hub.start()
    assert rows(f"{hub.url}/notes") == before
    assert run("verify", file, "--data", data).returncode == 0
    assert (data / "session.key").read_bytes() == key
    assert post(f"{hub.url}/notes", id="new")["_seq"] == 23


@pytest.mark.parametrize("keeps", [True, False])
async def test_positions_go_on_only_where_nothing_was_lost(
    hub_factory: HubFactory, tmp_path: Path, keeps: bool
) -> None:
    hub: Hub = await asyncio.to_thread(hub_factory, GOOD)
    await asyncio.to_thread(filled, hub)
    async with connect(f"{hub.url}/notes") as client:
        [*_, last] = await client.until(lambda frame: "_ready" in frame)
        position = last["_ready"]["position"]
    archive = await asyncio.to_thread(saved, hub, tmp_path / "hub.zip")
    await asyncio.to_thread(hub.stop)
    file, data = hub.folder / "eventhub.yaml", hub.folder / "data"
    await asyncio.to_thread(shutil.rmtree, data)
    flags = ["--keep-positions"] if keeps else []
    done = await asyncio.to_thread(run, "restore", file, archive, "--data", data, *flags)
    assert done.returncode == 0, done.stderr
    await asyncio.to_thread(hub.start)
    async with connect(f"{hub.url}/notes?_since={position}") as client:
        frames = await client.replay()
    assert frames[0]["_resume"]["recovered"] is keeps


def test_a_hub_that_has_stored_nothing_is_no_backup(tmp_path: Path) -> None:
    """The data folder is another one, more likely than not."""
    file, archive, data = written(tmp_path, GOOD), tmp_path / "hub.zip", tmp_path / "data"
    assert f"nothing is stored in {data}" in refused(2, run("backup", file, archive))
    assert not archive.exists()
    assert f"nothing is stored in {data}" in refused(2, run("move", file, file))


def test_a_damaged_archive_makes_nothing(hub_factory: HubFactory, tmp_path: Path) -> None:
    hub = hub_factory(GOOD)
    filled(hub)
    archive = saved(hub, tmp_path / "hub.zip")
    hub.stop()
    file, data = hub.folder / "eventhub.yaml", tmp_path / "new"
    whole = archive.read_bytes()
    for damaged, reason in (
        (whole[:-100], "is not a backup, or is cut off"),
        (whole[:3000] + bytes([whole[3000] ^ 1]) + whole[3001:], "is damaged"),
        (b"no zip", "is not a backup, or is cut off"),
    ):
        archive.write_bytes(damaged)
        assert reason in refused(2, run("restore", file, archive, "--data", data))
    with zipfile.ZipFile(archive, "w") as other:
        other.writestr("manifest.json", json.dumps({"format": 1}))
    assert "is not a backup" in refused(2, run("restore", file, archive, "--data", data))
    archive.write_bytes(whole)
    assert run("restore", file, archive, "--data", data).returncode == 0


def moved(hub: Hub, target: Path) -> CompletedProcess[str]:
    return run("move", hub.config, target, "--data", hub.folder / "data")


@pytest.mark.timeout(180)
@pytest.mark.xdist_group("cluster")
def test_a_hub_moves_to_a_cluster_and_back(hub_factory: HubFactory, tmp_path: Path) -> None:
    hub = hub_factory(GOOD)
    before = filled(hub)
    position = position_of(hub)
    assert "stop the hub first" in refused(2, moved(hub, written(tmp_path, GOOD)))
    hub.stop()
    with cluster(tmp_path / "cluster") as servers:
        text = f"{GOOD}\nbroker: {{url: {json.dumps(servers.urls)}, replicas: {SERVERS}}}\n"
        target = written(tmp_path, text)
        done = moved(hub, target)
        assert (done.returncode, done.stderr) == (0, "")
        assert "EH_notes: 22 messages\nEVENTHUB" in done.stdout
        assert not list((hub.folder / "data").glob(f"{MOVING}*"))
        assert "already" in refused(2, moved(hub, target))

        other = hub_factory(text)
        assert rows(f"{other.url}/notes") == before
        assert post(f"{other.url}/notes", id="new")["_seq"] == 23
        asyncio.run(is_not_moved(other, hub.config, tmp_path / "nowhere"))
        asyncio.run(resumes(other, position, "new", "meanwhile"))
        other.stop()
        data = hub.folder / "data"
        shutil.rmtree(data)
        done = run("move", target, hub.config, "--target-data", data)
        assert (done.returncode, done.stderr) == (0, "")
    hub.start()
    assert post(f"{hub.url}/notes", id="newer")["_seq"] == 25
    asyncio.run(resumes(hub, position, "new", "meanwhile", "newer"))
    hub.stop()
    assert run("verify", hub.config, "--data", data).returncode == 0


def position_of(hub: Hub) -> str:
    async def ask() -> str:
        async with connect(f"{hub.url}/notes") as client:
            await client.replay()
            return client.position

    return asyncio.run(ask())


async def resumes(hub: Hub, position: str, *ids: str) -> None:
    """A client goes on from its position, and gets these rows."""
    async with connect(f"{hub.url}/notes?_since={position}") as client:
        resumed, *events = await client.replay()
    assert resumed["_resume"]["recovered"]
    assert [event["id"] for event in events] == list(ids)


async def is_not_moved(hub: Hub, target: Path, data: Path) -> None:
    """A hub at servers of others may be running unnoticed: nothing that it writes is lost."""
    to = load(target, data=data)

    def write(stream: str, _: int) -> None:
        if stream == "EH_notes":
            post(f"{hub.url}/notes", id="meanwhile")

    with pytest.raises(Unavailable, match="EH_notes was written to meanwhile"):
        await move(load(hub.config), to, write)
    async with open_log(to) as event_log:
        assert await event_log.copies.stored() == []
