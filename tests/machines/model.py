"""Model: what must hold after any fault, of everything that was acknowledged.

`Load` checks log, history, live readers and rows. Here is the rest: each way to read a part again,
mails, tables, and what the processes have logged.
"""

import asyncio
import random
from collections import Counter

import aiohttp

from tests.e2e.client import V1, Frame
from tests.faults.load import Load, frames_of, position
from tests.machines.site import Site

MAIL_SECONDS = 60.0
IN_FLIGHT = 4
"""Mails that one killed worker may send twice, with one Message-ID (docs/alerts.md)."""


async def check(site: Site, load: Load, *, killed_workers: int = 0) -> None:
    """Check what a load has left, and that nothing was claimed that is not so.

    Args:
        site: at rest.
        load: which is over, and was checked by itself.
        killed_workers: alert workers that were killed since the last check.
    """
    async with asyncio.TaskGroup() as group:  # the mails, for one, may take a while to come
        group.create_task(_check_since(load))
        group.create_task(_check_mails(site, load.history, killed_workers))
        group.create_task(site.verify())
    site.check_logs()


async def _check_since(load: Load) -> None:
    """From any position, each gateway sends what follows it."""
    history = load.history
    rng = random.Random(len(history))
    for url in load.urls:
        after = rng.randrange(max(0, len(history) - 2000), len(history) + 1)
        resumed, *frames = await _events_since(url, "topic=Help", after)
        assert resumed["_resume"]["recovered"], resumed
        seen = [(frame["_seq"], frame["_method"], frame["id"]) for frame in frames]
        expected = frames_of(history, "topic=Help")
        assert seen == [each for each in expected if each[0] > after], f"{url} after {after}"


async def _events_since(url: str, query: str, after: int) -> list[Frame]:
    """Return what a client gets that resumes after a sequence, up to `_ready`."""
    async with aiohttp.ClientSession() as session:
        resume = f"{url}?{query}&_since={await position(url, after)}"
        async with session.ws_connect(resume, protocols=(V1,)) as socket, asyncio.timeout(30):
            frames: list[Frame] = [await socket.receive_json()]
            while "_ready" not in frames[-1]:
                frames.append(await socket.receive_json())
    return frames[:-1]


async def _check_mails(site: Site, history: list[Frame], killed_workers: int) -> None:
    expected = {
        event["row"]["body"]
        for event in history
        if event["_method"] == "POST" and event["row"].get("n") == 7
    }

    def mailed() -> Counter[str]:
        return Counter(taken.mail["Subject"] for taken in site.sink.taken)

    try:
        async with asyncio.timeout(MAIL_SECONDS):
            while mailed().keys() < expected:
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not mailed: {sorted(expected - mailed().keys())[:9]}") from None
    assert mailed().keys() == expected
    ids = Counter(taken.mail["Message-ID"] for taken in site.sink.taken)
    assert len(ids) == len(expected), "two mails with different Message-IDs for one event"
    again = {subject: count for subject, count in mailed().items() if count > 1}
    repeated = sum(again.values()) - len(again)
    allowed = site.mails_repeated + killed_workers * IN_FLIGHT
    site.mails_repeated = repeated  # whatever follows, the next fault has not repeated these
    assert repeated <= allowed, again
