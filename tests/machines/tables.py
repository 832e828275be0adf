"""Tables: faults of tables beside the one of the load, of which one rests and one is sealed.

Each has a load of its own, which checks everything that it has written, from its first event on.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable

from tests.e2e.client import request
from tests.e2e.reload import said
from tests.faults.load import Load, until
from tests.machines.site import GATEWAYS, GOES_ON_SECONDS, RESTING, SEALED, Site

PACE_SECONDS = 0.2
WRITTEN_AT_REST = 50

Inflict = Callable[[Site, Load], Awaitable[None]]


def _load(site: Site, table: str) -> Load:
    site.loads += 1
    urls = [site.url(name, f"/{table}") for name in GATEWAYS]
    load = Load(*urls, name=f"{table}-{site.loads}-", seed=site.loads, queries=("", "topic=Help"))
    for writer in load.writers:
        writer.pace_seconds = PACE_SECONDS
    return load


def woken(how: signal.Signals) -> Inflict:
    """Wake a table that rests, and that has changed meanwhile, when its leader is just lost."""

    async def inflict(site: Site, _: Load) -> None:
        await site.rests(RESTING)
        waking = _load(site, RESTING)
        rows = [{"id": f"rest-{site.loads}-{n}", "n": n} for n in range(WRITTEN_AT_REST)]
        assert (await request("POST", waking.urls[1], json=rows))[0] == 200
        await site.rests(RESTING)
        number = await site.servers.leader(f"EH_{RESTING}")
        site.servers.halt(number, how)
        try:
            async with waking.running():
                await waking.goes_on(seconds=GOES_ON_SECONDS)
        finally:
            site.servers.resume(number)

    return inflict


def seal_interrupted(stream: str) -> Inflict:
    """Kill the leader of a stream when a segment was just listed.

    Without the log the segment cannot be trimmed, and without the store of segments the next one
    cannot be stored.
    """

    async def inflict(site: Site, _: Load) -> None:
        writing = _load(site, SEALED)
        projector = site.hubs["projector"]
        async with writing.running():
            await writing.goes_on()
            number = await site.servers.leader(stream)
            sealed = len(said(projector, "segment_sealed"))
            await until(lambda: len(said(projector, "segment_sealed")) > sealed)
            site.servers.end(number, signal.SIGKILL)
            last = said(projector, "segment_sealed")[-1]["last"]
            await writing.goes_on(seconds=GOES_ON_SECONDS)
            site.servers.start(number)
            async with asyncio.timeout(GOES_ON_SECONDS):
                while not any(line["last"] > last for line in said(projector, "stream_trimmed")):
                    await asyncio.sleep(0.1)

    return inflict
