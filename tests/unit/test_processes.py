"""Operators see all processes of a hub: how each is, which is silent, and not those that ended."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventhub.feed import Feed
from eventhub.memory import MemoryStream
from eventhub.memory_signals import MemorySignals
from eventhub.processes import (
    FORGET_SECONDS,
    MAX_BYTES,
    MAX_WORDS,
    MOST,
    MOST_WORDS,
    SILENT_SECONDS,
    Processes,
    Said,
)
from eventhub.stream import EventStream
from eventhub.vitals import Vitals
from tests.snapshotting import CHAT

DEADLINE_SECONDS = 40.0
SAID = Said(
    id="x",
    process="elsewhere:1",
    version="1",
    roles=["projector"],
    running_seconds=1.0,
    problems=[],
    notes=[],
    connections=None,
    behind=0,
    behind_seconds=0.0,
    mails=None,
)


class Hub:
    """Processes that share signals and a clock, without their loops."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.signals = MemorySignals()
        self._folder = folder

    def process(
        self, role: str, problems: tuple[str, ...] = (), streams: Sequence[EventStream] = ()
    ) -> Processes:
        feeds = {str(number): Feed(stream, 0) for number, stream in enumerate(streams)}
        vitals = Vitals(feeds, self._folder, [role])
        return Processes(vitals, self.signals, lambda: ([*problems], []), lambda: self.now)


def signal(**changes: Any) -> bytes:
    """What another process says."""
    return msgspec.json.encode(msgspec.structs.replace(SAID, **changes))


@asynccontextmanager
async def running(*processes: Processes) -> AsyncIterator[asyncio.Event]:
    """Run processes until the end of the block, or until the event that it gets is set."""
    stop = asyncio.Event()
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        for each in processes:
            group.create_task(each.run(stop))
        yield stop
        stop.set()


async def until_seen(gateway: Processes, roles: list[str]) -> None:
    while [each["roles"][0] for each in gateway.report()] != roles:
        await asyncio.sleep(0.001)


async def test_a_gateway_sees_every_process_and_how_it_is(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    gateway, projector = hub.process("gateway"), hub.process("projector", ("it is stuck",))
    async with running(gateway):
        async with running(projector, hub.process("alerts")):
            await until_seen(gateway, ["gateway", "alerts", "projector"])
            assert [each["problems"] for each in gateway.report()] == [[], [], ["it is stuck"]]
            assert {each["silent_seconds"] for each in gateway.report()} == {None}
        await until_seen(gateway, ["gateway"])  # those that were stopped have said so


async def test_hubs_that_share_servers_do_not_see_each_others_processes(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    one, shared, other = (MemoryStream(CHAT) for _ in range(3))
    gateway = hub.process("gateway", streams=[one, shared])
    projector = hub.process("projector", streams=[shared])
    stranger = hub.process("alerts", streams=[other])
    async with running(gateway, stranger, hub.process("archiver"), projector):
        await until_seen(gateway, ["gateway", "archiver", "projector"])  # an older one says no log
    strange_gateway = hub.process("gateway", streams=[other])
    async with running(strange_gateway, gateway, stranger):
        await until_seen(strange_gateway, ["gateway", "alerts"])


async def test_only_a_gateway_listens(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    gateway, projector = hub.process("gateway"), hub.process("projector")
    async with running(gateway, projector):
        await until_seen(gateway, ["gateway", "projector"])
        assert len(projector.report()) == 1


def test_a_process_that_says_nothing_is_silent_and_later_forgotten(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    gateway = hub.process("gateway")
    gateway.hear([signal()])
    hub.now = SILENT_SECONDS
    assert gateway.report()[1]["silent_seconds"] is None
    hub.now += 5
    assert gateway.report()[1]["silent_seconds"] == SILENT_SECONDS + 5
    gateway.hear([signal()])
    assert gateway.report()[1]["silent_seconds"] is None
    hub.now += FORGET_SECONDS + 1
    assert len(gateway.report()) == 1


def test_what_others_say_takes_bounded_room(tmp_path: Path) -> None:
    """They come over the broker, whose other users may say anything."""
    gateway = Hub(tmp_path).process("gateway")
    gateway.hear([signal(id=f"p{number}") for number in range(MOST + 10)])
    assert len(gateway.report()) == 1 + MOST
    gateway.hear([signal(id="p0", version="2")])
    assert "2" in [each["version"] for each in gateway.report()]


@pytest.mark.parametrize(
    "unreadable",
    [
        b"{",
        b"[]",
        signal(version="x" * (MAX_WORDS + 1)),
        signal(problems=["x" * MAX_WORDS] * (MAX_BYTES // MAX_WORDS)),
    ],
)
def test_what_no_process_says_is_left_out(tmp_path: Path, unreadable: bytes) -> None:
    gateway = Hub(tmp_path).process("gateway")
    gateway.hear([unreadable, signal()])
    assert len(gateway.report()) == 2


def test_many_long_problems_fit_in_what_a_process_says(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    wordy = hub.process("projector", ("\U0001f600" * 1000,) * 1000)
    [own] = wordy.report()
    assert [len(each) for each in own["problems"]] == [MAX_WORDS] * MOST_WORDS
    heard = list[bytes]()

    async def listen() -> None:
        async with hub.signals.hear(None, "processes", heard.extend, lambda: None):
            await wordy.say()
            await asyncio.sleep(0)

    asyncio.run(listen())
    gateway = hub.process("gateway")
    gateway.hear(heard)
    assert len(gateway.report()) == 2
