"""Whatever is killed under load, hub or database: log, tables and mirror are equal afterwards."""

import asyncio
import os
import random
from contextlib import suppress
from pathlib import Path

from tests.database_server import DatabaseServer
from tests.databases import Database, Sqlite
from tests.e2e.client import get
from tests.e2e.command import run
from tests.e2e.hub import Hub
from tests.faults.conftest import HubStarter, SmallDisk
from tests.faults.load import CONFIG, Load, until

COLUMNS = ("topic", "n", "flag", "body", "pad", "id", "timestamp")
SELECT = f'SELECT {", ".join(COLUMNS)} FROM "rows"'


def mirrored_to(url: str) -> str:
    """The configuration of a load, with a mirror."""
    return CONFIG.replace("kwargs: {", f"kwargs: {{url: '{url}', ")


async def rows_of(hub: Hub) -> list[tuple[object, ...]]:
    rows = await get(f"{hub.url}/rows")
    return sorted(
        (tuple(row[name] for name in COLUMNS) for row in rows), key=lambda row: str(row[5])
    )


def mirrored(database: Database) -> list[tuple[object, ...]]:
    return sorted(database.fetch(SELECT), key=lambda row: str(row[5]))


async def is_equal(hub: Hub, database: Database) -> bool:
    rows = await rows_of(hub)
    return rows == await asyncio.to_thread(mirrored, database)


async def kill_and_compare(hub: Hub, database: Database, rng: random.Random, kills: int) -> None:
    """Kill hub and database at random moments under load; then compare log, tables and mirror."""
    load = Load(f"{hub.url}/rows")
    async with load.running():
        for _ in range(kills):
            await load.goes_on(rng.randrange(5, 150))
            await asyncio.sleep(rng.random() / 3)  # anywhere in a transaction of the mirror
            if isinstance(database, DatabaseServer) and rng.random() < 0.6:
                await asyncio.to_thread(database.kill)
                await load.goes_on(rng.randrange(1, 50))  # clients do not notice
                await asyncio.to_thread(database.start)
            else:
                await asyncio.to_thread(hub.kill)
                await asyncio.to_thread(hub.start)
    async with asyncio.timeout(60):
        while not await is_equal(hub, database):
            await asyncio.sleep(0.05)
    await asyncio.to_thread(hub.stop)
    done = await asyncio.to_thread(run, "verify", hub.config, "--data", hub.folder / "data")
    assert done.returncode == 0, done.stdout
    assert "rows mirror: equal" in done.stdout


async def test_after_kills_of_hub_and_database_the_mirror_is_equal(
    start_hub: HubStarter, database: Database
) -> None:
    hub = await asyncio.to_thread(start_hub, mirrored_to(database.url))
    await kill_and_compare(hub, database, random.Random(7), kills=3)


async def test_a_mirror_whose_disk_is_full_waits_for_room_and_stops_nobody(
    start_hub: HubStarter, small_disk: SmallDisk
) -> None:
    disk = small_disk("32m")
    database = Sqlite(disk / "messages.db")
    hub = await asyncio.to_thread(start_hub, mirrored_to(database.url))
    ballast = disk / "ballast"
    load = Load(f"{hub.url}/rows", pad_bytes=500)
    async with load.running():
        await load.goes_on()
        with suppress(OSError):  # the mirror took some of it meanwhile
            ballast.write_bytes(bytes(free(disk)))
        await until(lambda: '"code": "full"' in hub.stderr())
        await load.goes_on()
        assert load.refusals == []
        assert load.is_connected_as_before
        ballast.unlink()
        await until(lambda: '"event": "mirror_recovered"' in hub.stderr())
    async with asyncio.timeout(30):
        while not await is_equal(hub, database):
            await asyncio.sleep(0.05)


def free(disk: Path) -> int:
    """Return the bytes that are free, less a page or two that SQLite keeps for its own end."""

    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize
