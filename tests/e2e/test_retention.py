"""A hub whose old events have left the stream shows all that one shows whose log is whole."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from eventhub.delivery.frames import SUBPROTOCOL
from tests.e2e.client import DEADLINE_SECONDS, connect, get, request
from tests.e2e.command import output, run
from tests.e2e.hub import Hub
from tests.e2e.reload import said
from tests.waiting import until

CONFIG = """
log: {format: json}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs: {columns: {body: TEXT, n: INTEGER}, log: {keep: 1s}}
"""
ROWS = 60
EVENTS = 150
"""60 rows, of which 30 are changed twice, and 30 deleted."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    (tmp_path / "eventhub.yaml").write_text(CONFIG)
    hub = Hub(tmp_path / "eventhub.yaml", tmp_path, [])
    hub.start()
    yield hub
    hub.kill()


async def write(hub: Hub) -> None:
    ids = [f"r{number}" for number in range(ROWS)]
    rows = [{"id": row, "body": row * 20, "n": number} for number, row in enumerate(ids)]
    changes = [{"id": row, "n": -1} for row in ids[::2]]
    for method, messages in (
        ("POST", rows),
        ("PUT", changes),
        ("PUT", changes),
        ("DELETE", [{"id": row} for row in ids[1::2]]),
    ):
        assert (await request(method, f"{hub.url}/notes", json=messages))[0] == 200


async def log_of(hub: Hub, since: str = "") -> list[dict[str, Any]]:
    """Return the events that a client gets from a position on, without what follows them."""
    query = {"_replay": "log", **({"_since": since} if since else {})}
    url = f"{hub.url}/notes?{urlencode(query)}"
    frames: list[dict[str, Any]] = []
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=[SUBPROTOCOL]) as socket,
    ):
        while not frames or "_ready" not in frames[-1]:
            frames.append(await socket.receive_json(timeout=DEADLINE_SECONDS))
    return frames


async def everything(hub: Hub, position: str) -> dict[str, Any]:
    url = f"{hub.url}/notes"
    epoch = position.partition(".")[0]
    return {
        "rows": await get(url),
        "as of": await get(url, _as_of="75"),
        "versions": await get(url, id="r2", _history=""),
        "log": await log_of(hub),
        "since inside": await log_of(hub, f"{epoch}.40"),
        "since the end": await log_of(hub, f"{epoch}.{EVENTS - 1}"),
        "earliest": await log_of(hub, "earliest"),
        "last": await log_of(hub, "-20"),
    }


async def position_of(hub: Hub) -> str:
    """Return the position of the last event."""
    async with connect(f"{hub.url}/notes") as client:
        await client.replay()
    return client.position


async def restored(hub: Hub, archive: Path) -> None:
    """Back up a hub, delete its data, and restore it for clients that start over."""
    data = hub.folder / "data"
    done = await asyncio.to_thread(run, "backup", hub.config, archive, "--data", data)
    assert done.returncode == 0, done
    hub.stop()
    await asyncio.to_thread(shutil.rmtree, data)
    done = await asyncio.to_thread(run, "restore", hub.config, archive, "--data", data)
    assert done.returncode == 0, done
    hub.start()


def without_position(found: Any) -> Any:
    """Return what a client got without the position, which is of another epoch."""
    return [each for each in found if "_ready" not in each] if isinstance(found, list) else found


async def trimmed(hub: Hub, last: int) -> None:
    await asyncio.to_thread(
        until, lambda: any(line["last"] >= last for line in said(hub, "stream_trimmed"))
    )


def verified(hub: Hub) -> None:
    report = json.loads(output("verify", hub.config, "--data", hub.folder / "data", "--json"))
    assert report["equal"], report


async def test_all_readers_read_segments_and_stream_as_one(hub: Hub, tmp_path: Path) -> None:
    """So does a hub that was restored from a backup, with another epoch."""
    await write(hub)
    position = await position_of(hub)
    before = await everything(hub, position)
    await trimmed(hub, EVENTS)
    assert await everything(hub, position) == before
    hub.kill()
    hub.start()
    assert await everything(hub, position) == before
    verified(hub)
    await restored(hub, tmp_path / "hub.zip")
    after = await everything(hub, await position_of(hub))
    assert [*map(without_position, after.values())] == [*map(without_position, before.values())]
    verified(hub)
    # A row that has not changed since is changed, and only once created.
    assert (await request("PUT", f"{hub.url}/notes", json={"id": "r2", "n": 7}))[0] == 200
    assert (await request("POST", f"{hub.url}/notes", json={"id": "r4"}))[0] == 409
