"""Faults: what happens to one site under load, by name; each ends with everything as it was.

A fault that leaves a quorum and a gateway waits until the load goes on, before it is mended.
"""

import asyncio
import signal

from eventhub.jetstream.permissions import SEGMENTS
from tests.cluster import SERVERS
from tests.e2e.client import get
from tests.faults.load import Load
from tests.machines.model import check
from tests.machines.network import Leg
from tests.machines.servers import Who
from tests.machines.site import GATEWAYS, GOES_ON_SECONDS, SEALED, STARTED, STREAM, THIRD, Site
from tests.machines.tables import Inflict, seal_interrupted, woken

FROZEN_SECONDS = 10.0
PACE_SECONDS = 0.2
"""Between the messages of a writer: at most 100 a second of all."""
ROWS = ("shared-1", "shared-2", "shared-3")
"""Rows that writers at all gateways change."""


async def survive(site: Site, fault: str, *, seed: int = 0) -> str:
    """Inflict a fault on a site under load, and check everything once it is over.

    Return a line about how long the load paused.

    Args:
        site: ready, and whole.
        fault: one of `FAULTS`.
        seed: of the load; another one for each load of a site.
    """
    urls = [site.url(name) for name in GATEWAYS]
    name = f"{fault.replace(' ', '-')}-{seed}-"
    load = Load(*urls, name=name, shared=ROWS, seed=seed, history=site.history)
    for writer in load.writers:
        writer.pace_seconds = PACE_SECONDS
    async with load.running():
        await load.goes_on()
        await FAULTS[fault](site, load)
        await site.servers.whole()
        await site.ready()
        await _goes_on(load)
    await check(site, load, killed_workers=2 if fault in KILL_WORKERS else 0)
    site.history = load.history
    await site.stop(THIRD)
    writes, deliveries = load.pauses()
    return f"{load.acknowledged} writes, at most {writes:.1f} s apart; live {deliveries:.1f} s"


async def _goes_on(load: Load) -> None:
    await load.goes_on(seconds=GOES_ON_SECONDS)


def killed(who: Who) -> Inflict:
    async def inflict(site: Site, load: Load) -> None:
        number = await site.servers.pick(STREAM, who)
        site.servers.end(number, signal.SIGKILL)
        await _goes_on(load)
        site.servers.start(number)

    return inflict


async def two_killed(site: Site, load: Load) -> None:
    numbers = {await site.servers.pick(STREAM, who) for who in ("leader", "follower")}
    for number in numbers:
        site.servers.end(number, signal.SIGKILL)
    await asyncio.sleep(FROZEN_SECONDS)
    for number in numbers:
        site.servers.start(number)


async def everything_killed(site: Site, load: Load) -> None:
    """A power cut at all machines."""
    for number in range(SERVERS):
        site.servers.end(number, signal.SIGKILL)
    for name in STARTED:
        site.hubs[name].kill()
    for number in range(SERVERS):
        site.servers.start(number)
    for name in STARTED:
        site.hubs[name].launch()


def frozen(who: Who) -> Inflict:
    async def inflict(site: Site, load: Load) -> None:
        number = await site.servers.pick(STREAM, who)
        site.servers.signal(number, signal.SIGSTOP)
        try:
            await asyncio.sleep(FROZEN_SECONDS)
        finally:
            site.servers.signal(number, signal.SIGCONT)

    return inflict


def cut_off(who: Who, at: int, *legs: Leg) -> Inflict:
    """Cut the machine of a server off; machine 2 has no gateway of its own."""

    async def inflict(site: Site, load: Load) -> None:
        number = await site.servers.pick(STREAM, who, at=at)
        site.network.cut(number, *legs)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_goes_on(load))
                group.create_task(asyncio.sleep(FROZEN_SECONDS))
        finally:
            site.network.join(number, *legs)

    return inflict


def server_cut_off(who: Who) -> Inflict:
    """Cut a server off from the others, but not from the gateway that is connected to it."""

    async def inflict(site: Site, load: Load) -> None:
        number = await site.servers.pick(STREAM, who, at=0)
        site.network.cut(number, "clients")  # its gateway reaches no other server
        await site.comes_home("gateway1")
        site.network.join(number, "clients")
        site.network.cut(number, "servers")
        try:
            await _goes_on(load)
            await site.ready("gateway1")  # it has found another server
        finally:
            site.network.join(number, "servers")

    return inflict


async def servers_restarted(site: Site, load: Load) -> None:
    for number in range(SERVERS):
        await asyncio.to_thread(site.servers.end, number)
        site.servers.start(number)
        await site.servers.whole()
        await site.ready()


async def servers_retired(site: Site, load: Load) -> None:
    for number in range(SERVERS):
        await asyncio.to_thread(site.servers.retire, number)
        site.servers.start(number)
        await site.servers.whole()
        await site.ready()


async def gateways_upgraded(site: Site, load: Load) -> None:
    for name in GATEWAYS:
        await site.restart(name)


async def gateways_killed(site: Site, load: Load) -> None:
    for name in GATEWAYS:
        await site.restart(name, kill=True)
        await _goes_on(load)


async def gateway_frozen(site: Site, load: Load) -> None:
    process = site.hubs["gateway1"].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(FROZEN_SECONDS)
    finally:
        process.send_signal(signal.SIGCONT)


async def projector_killed(site: Site, load: Load) -> None:
    await site.restart("projector", kill=True)


async def alert_workers_killed(site: Site, load: Load) -> None:
    for name in ("alerts1", "alerts2"):
        await site.restart(name, kill=True)
        await _goes_on(load)


async def third_gateway(site: Site, load: Load) -> None:
    """It is still there when everything is checked."""
    site.configure(THIRD)
    site.hubs[THIRD].launch()
    await site.ready(THIRD)
    await load.join(site.url(THIRD))
    await _goes_on(load)


def disk_full(who: Who) -> Inflict:
    async def inflict(site: Site, load: Load) -> None:
        number = await site.servers.pick(STREAM, who)
        filler = site.servers.fill(number)
        try:
            await _goes_on(load)
        finally:
            filler.unlink()
        await asyncio.to_thread(site.servers.end, number)
        site.servers.start(number)

    return inflict


async def disks_full(site: Site, load: Load) -> None:
    """Nothing can be stored, until there is room and the servers are started again."""
    fillers = [site.servers.fill(number) for number in range(SERVERS)]
    refused = len(load.refusals)
    try:
        async with asyncio.timeout(GOES_ON_SECONDS):
            while len(load.refusals) == refused:
                await asyncio.sleep(0.1)
    finally:
        for filler in fillers:
            filler.unlink()
    for number in range(SERVERS):
        await asyncio.to_thread(site.servers.end, number)
        site.servers.start(number)


def disk_lost(who: Who) -> Inflict:
    async def inflict(site: Site, load: Load) -> None:
        number = await site.servers.pick(STREAM, who)
        site.servers.end(number, signal.SIGKILL)
        site.servers.lose(number)
        await _goes_on(load)
        site.servers.start(number)

    return inflict


async def columns_changed(site: Site, load: Load) -> None:
    """For a while the gateways have different columns."""
    old, new = (site.url(name) for name in GATEWAYS)
    site.changes_of_columns += 1
    mood = f"mood{site.changes_of_columns}"
    row = {"id": f"{mood}-row", "body": f"{mood}-first"}
    await site.upgrade("projector", "gateway2")
    await load.write(new, {"_method": "POST", **row, mood: "good"})
    await load.write(old, {"_method": "PUT", **row, "body": f"{mood}-second"})
    [kept] = await get(new, id=row["id"])
    assert (kept["body"], kept[mood]) == (f"{mood}-second", "good")
    assert "columns of rows are older" in await site.state("gateway1")
    await _goes_on(load)
    await site.upgrade("gateway1", "alerts1", "alerts2")
    assert await site.state("gateway1") == "ready"


KILL_WORKERS = ("alert workers killed", "everything killed")
FAULTS: dict[str, Inflict] = {
    "leader killed": killed("leader"),
    "follower killed": killed("follower"),
    "meta leader killed": killed("meta leader"),
    "two servers killed": two_killed,
    "everything killed": everything_killed,
    "leader frozen": frozen("leader"),
    "follower frozen": frozen("follower"),
    "meta leader frozen": frozen("meta leader"),
    "leader cut off with its gateway": cut_off("leader", 0, "servers", "clients"),
    "follower cut off with its gateway": cut_off("follower", 0, "servers", "clients"),
    "leader cut off alone": cut_off("leader", 2, "servers", "clients"),
    "follower cut off alone": cut_off("follower", 2, "servers", "clients"),
    "leader cut off from servers": server_cut_off("leader"),
    "follower cut off from servers": server_cut_off("follower"),
    "servers restarted": servers_restarted,
    "servers retired": servers_retired,
    "gateways upgraded": gateways_upgraded,
    "gateways killed": gateways_killed,
    "gateway frozen": gateway_frozen,
    "projector killed": projector_killed,
    "alert workers killed": alert_workers_killed,
    "third gateway": third_gateway,
    "disk of the leader full": disk_full("leader"),
    "disk of a follower full": disk_full("follower"),
    "all disks full": disks_full,
    "disk of the leader lost": disk_lost("leader"),
    "disk of a follower lost": disk_lost("follower"),
    "columns changed": columns_changed,
    "table woken as its leader is killed": woken(signal.SIGKILL),
    "table woken as its leader is frozen": woken(signal.SIGSTOP),
    "leader killed while a log is sealed": seal_interrupted(f"EH_{SEALED}"),
    "leader of segments killed while a log is sealed": seal_interrupted(f"OBJ_{SEGMENTS}"),
}
