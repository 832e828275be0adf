"""Two gateways behind each proxy of `deploy/proxy` are upgraded one after the other.

Meanwhile clients write and read through the proxies; none of them misses or repeats anything. One
upgrade is enough for all proxies, because they stand in front of the same gateways.
"""

import asyncio
import gc
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.deploy.resuming import PATH, PollReader, Reader, Seen, SocketReader, StreamReader, Writer
from tests.deploy.reverse_proxies import (
    NAME,
    PROGRAMS,
    browser,
    find,
    make_certificate,
    running_proxy,
)
from tests.deploy.test_proxies import block
from tests.e2e.client import connect
from tests.e2e.hub import Hub
from tests.nats_server import nats_server

KINDS: tuple[type[Reader], ...] = (SocketReader, StreamReader, PollReader)
WRITES = 20
"""Of each writer, before the next gateway is upgraded."""
PARTS = 6
DEADLINE_SECONDS = 60.0

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@dataclass
class Site:
    """The clients of one proxy."""

    writer: Writer
    readers: dict[type[Reader], Reader]
    tags: set[str] = field(default_factory=set)
    """Of the parts of one file of rows."""


@dataclass
class Upgrade:
    """What has come of it."""

    sites: dict[str, Site]
    log: list[Seen]
    """Everything that was stored."""


@pytest.fixture
def upgrade(tmp_path: Path) -> Iterator[Upgrade]:
    """Upgrade both gateways while clients write and read through every proxy."""
    folder = tmp_path
    trust = make_certificate(folder)
    store = {"store_dir": str(folder / "nats"), "sync_interval": "always"}
    with ExitStack() as stack:
        broker = nats_server(folder / "nats", {"jetstream": store, "max_payload": 9_000_000})
        url = stack.enter_context(broker)
        gateways = [_gateway(folder / f"gateway{number}", url) for number in (1, 2)]
        for gateway in gateways:
            stack.callback(gateway.kill)
            gateway.start()
        ports = [gateway.port for gateway in gateways]
        origins = {
            program: f"https://{NAME}:{stack.enter_context(running_proxy(program, ports, folder))}"
            for program in PROGRAMS
            if find(program)
        }
        with asyncio.Runner() as runner:
            found = runner.run(_upgraded(gateways, origins, trust))
        gc.collect()  # asyncio leaves transports below TLS to it
        yield found


def _gateway(folder: Path, url: str) -> Hub:
    folder.mkdir()
    file = folder / "eventhub.yaml"
    text = block("yaml").replace("  lame_duck:", "  drain: 5\n  lame_duck:")
    file.write_text(f"{text}\nbroker: {{url: '{url}'}}\n")
    return Hub(file, folder, ["--role", "gateway"])


async def _upgraded(gateways: list[Hub], origins: dict[str, str], trust: ssl.SSLContext) -> Upgrade:
    sites = dict[str, Site]()
    async with AsyncExitStack() as stack:
        for program, origin in origins.items():
            session = await stack.enter_async_context(browser(origin, trust))
            async with session.get(PATH, params={"_limit": "0"}) as answer:
                start = answer.headers["EventHub-Position"]
            readers = {kind: kind(session, start) for kind in KINDS}
            sites[program] = Site(Writer(program, session), readers)
        async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as reading:
            tasks = [
                reading.create_task(reader.run())
                for site in sites.values()
                for reader in site.readers.values()
            ]
            await _write_while_upgraded(gateways, sites)
            last = max(site.writer.stored[-1][0] for site in sites.values())
            await _reached(sites, last)
            for task in tasks:
                task.cancel()
    return Upgrade(sites, await _read_log(f"{gateways[0].url}{PATH}"))


async def _write_while_upgraded(gateways: list[Hub], sites: dict[str, Site]) -> None:
    over = asyncio.Event()
    async with asyncio.TaskGroup() as writing:
        for site in sites.values():
            writing.create_task(site.writer.run(over))
        await _go_on(sites)
        for gateway in gateways:
            assert await asyncio.to_thread(gateway.stop) == 0
            await asyncio.to_thread(gateway.start)
            await _go_on(sites)
        for site in sites.values():
            site.tags = await _tags_of_parts(site.writer.session)
        over.set()


async def _go_on(sites: dict[str, Site]) -> None:
    """Wait until each writer has stored some more, and every reader has received that."""
    writers = [site.writer for site in sites.values()]
    goals = [len(writer.stored) + WRITES for writer in writers]
    while any(len(each.stored) < goal for each, goal in zip(writers, goals, strict=True)):
        await asyncio.sleep(0.02)
    await _reached(sites, max(writer.stored[-1][0] for writer in writers))


async def _reached(sites: dict[str, Site], sequence: int) -> None:
    readers = [reader for site in sites.values() for reader in site.readers.values()]
    while min(reader.reached for reader in readers) < sequence:
        await asyncio.sleep(0.02)


async def _tags_of_parts(session: aiohttp.ClientSession) -> set[str]:
    """Read a file of rows in parts, as tools do; return the tags of the files that they are of."""
    tags = set()
    async with session.get(f"{PATH}.csv") as whole:
        assert whole.status == 200
    for start in range(PARTS):
        async with session.get(f"{PATH}.csv", headers={"Range": f"bytes={start}-"}) as part:
            assert part.status == 206
            tags.add(part.headers["ETag"])
    return tags


async def _read_log(url: str) -> list[Seen]:
    async with connect(f"{url}?_replay=log", headers={"Host": NAME}) as client:
        frames = await client.replay()
    return [(frame["_seq"], frame["row"]["body"]) for frame in frames if "_seq" in frame]


def test_clients_behind_each_proxy_lose_and_repeat_nothing(upgrade: Upgrade) -> None:
    if not upgrade.sites:
        pytest.skip("no proxy is installed")
    for program, site in upgrade.sites.items():
        stored = [seen for seen in upgrade.log if seen[1].startswith(f"{program}-")]
        assert stored == site.writer.stored, program
        bodies = [f"{program}-{number}" for number in range(len(stored))]
        assert [body for _, body in stored] == bodies, program
        for kind, reader in site.readers.items():
            assert reader.seen == upgrade.log, (program, kind)
        # The close code is passed on, so that a client knows that it may resume at once.
        assert set(site.readers[SocketReader].endings) == {1012}, program
        assert site.readers[StreamReader].endings, program
        assert len(site.tags) == 1, f"{program}: parts of a file are of two gateways"
