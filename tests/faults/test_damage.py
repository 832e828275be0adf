"""An acknowledged event that cannot be read is reported, wherever the store was damaged."""

import asyncio
import os
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.client import get, request
from tests.e2e.hub import Hub
from tests.faults.conftest import HubStarter, broker_pid
from tests.faults.load import CONFIG, read_log, until

EVENTS = 27
BODY = "x" * 900_000
"""So that the store has three full blocks of 8 MiB: the server treats the last one differently."""


class Record(NamedTuple):
    """One message in a block file: length 4, sequence 8, time 8, subject's length 2, ..."""

    block: Path
    at: int
    size: int
    """Its last 8 bytes are the checksum."""


def records(folder: Path) -> dict[int, Record]:
    """Return where each message is, by sequence."""
    found: dict[int, Record] = {}
    for block in folder.glob("data/jetstream/**/EH_rows/msgs/*.blk"):
        content, at = block.read_bytes(), 0
        while at < len(content):
            size, sequence = struct.unpack_from("<IQ", content, at)
            size &= 0x7FFF_FFFF  # the first bit says that it has headers
            found[sequence] = Record(block, at, size)
            at += size
    return found


def flip(record: Record, offset: int, bit: int = 4) -> None:
    """Flip one bit of a record."""
    with record.block.open("r+b") as file:
        file.seek(record.at + offset)
        [byte] = file.read(1)
        file.seek(record.at + offset)
        file.write(bytes([byte ^ bit]))


def payload_of(sequence: int) -> "Damage":
    return lambda stored: flip(stored[sequence], stored[sequence].size // 2)


def checksum_of(sequence: int) -> "Damage":
    return lambda stored: flip(stored[sequence], stored[sequence].size - 1)


def length_of(sequence: int) -> "Damage":
    return lambda stored: flip(stored[sequence], 0)


def sequence_of(sequence: int) -> "Damage":
    return lambda stored: flip(stored[sequence], 4)


def endless(sequence: int, *bytes_flipped: int) -> "Damage":
    """The server would fill the hole before it, one sequence at a time, for hours."""

    def widen(stored: dict[int, Record]) -> None:
        for at in bytes_flipped:
            flip(stored[sequence], at)

    return widen


def deleted_ahead(sequence: int) -> "Damage":
    """The server would take the next thousand events for deleted as it stores them."""
    return lambda stored: flip(stored[sequence], 5)


def deleted_millions(sequence: int) -> "Damage":
    """The server would believe in more deleted events than it can list."""
    return lambda stored: flip(stored[sequence], 7, 1)


def cut_off(sequence: int) -> "Damage":
    """The file ends within a message."""

    def cut(stored: dict[int, Record]) -> None:
        with stored[sequence].block.open("r+b") as file:
            file.truncate(stored[sequence].at + 10)

    return cut


def block_of(sequence: int) -> "Damage":
    """The file is gone."""
    return lambda stored: stored[sequence].block.unlink()


Damage = Callable[[dict[int, Record]], None]


def forget_index(folder: Path) -> None:
    """As after a power cut: the server reads its blocks."""
    for index in folder.glob("data/jetstream/**/EH_rows/msgs/index.db"):
        index.unlink()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a hub that has stored events 1 to `EVENTS`, and was stopped."""
    folder = tmp_path_factory.mktemp("stored")
    (folder / "eventhub.yaml").write_text(CONFIG)
    hub = Hub(folder / "eventhub.yaml", folder, [])
    hub.start()
    try:
        asyncio.run(write(hub.url))
    finally:
        hub.stop()
    assert len({record.block for record in records(folder).values()}) == 3
    return folder


async def write(url: str) -> None:
    for number in range(1, EVENTS + 1):
        message = {"id": f"r{number}", "body": BODY}
        assert (await request("POST", f"{url}/rows", json=message))[1]["_seq"] == number
    assert len(await get(f"{url}/rows", _c="id")) == EVENTS  # so the tables hold the last one too


def reported(log: str) -> Iterator[int]:
    """Iterate over the sequences that a hub's log reports as lost."""
    for line in log.splitlines():
        if not line.startswith("{"):
            continue  # of a traceback
        entry = msgspec.json.decode(line)
        match entry["event"]:
            case "stream_gap" | "event_erased":
                yield from range(entry["first"], entry["last"] + 1)
            case "event_damaged":
                yield entry["sequence"]
            case "projection_ahead_of_log":
                yield from range(entry["last"] + 1, entry["head"] + 1)
            case _:
                pass


async def counted(url: str) -> int:
    """Return `eventhub_events_damaged_total`."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    [family] = [family for family in families if family.name == "eventhub_events_damaged"]
    return sum(int(s.value) for s in family.samples if s.name.endswith("_total"))


KEPT, LOST = True, False
CASES = {
    "payload": (payload_of(5), KEPT),
    "length": (length_of(5), KEPT),
    "sequence": (sequence_of(5), KEPT),
    "endless": (endless(6, 8, 9), KEPT),
    "deleted-ahead": (deleted_ahead(EVENTS - 2), KEPT),
    "deleted-millions": (deleted_millions(6), KEPT),
    "first": (checksum_of(1), KEPT),
    "last": (payload_of(EVENTS), KEPT),
    "middle-block-gone": (block_of(6), KEPT),
    "payload-no-index": (payload_of(5), LOST),
    "last-no-index": (payload_of(EVENTS), LOST),
    "last-block-no-index": (payload_of(EVENTS - 2), LOST),
    "torn-end-no-index": (cut_off(EVENTS - 2), LOST),
    "first-block-gone-no-index": (block_of(1), LOST),
    "last-block-gone-no-index": (block_of(EVENTS), LOST),
}


@pytest.mark.parametrize(("damage", "has_index"), CASES.values(), ids=CASES.keys())
async def test_every_lost_event_is_reported(
    stopped: Path, start_hub: HubStarter, tmp_path: Path, damage: Damage, has_index: bool
) -> None:
    shutil.copytree(stopped / "data", tmp_path / "data")
    damage(records(tmp_path))
    if not has_index:
        forget_index(tmp_path)
    hub = await asyncio.to_thread(start_hub)
    status, receipt = await request("POST", f"{hub.url}/rows", json={"body": "after"})
    read = {event["_seq"] for event in await read_log(f"{hub.url}/rows")}
    assert status == 201
    assert receipt["_seq"] in read
    lost = set(range(1, EVENTS + 1)) - (read - {receipt["_seq"]})
    assert lost, "nothing was damaged"
    assert lost <= set(reported(hub.stderr()))
    assert await counted(hub.url) >= len(lost)


@pytest.mark.parametrize("sequence", [6, EVENTS - 1])
async def test_a_bit_that_would_keep_the_server_busy_is_repaired(
    stopped: Path, start_hub: HubStarter, tmp_path: Path, sequence: int
) -> None:
    """The server itself would lose the event, and what follows in its file."""
    shutil.copytree(stopped / "data", tmp_path / "data")
    endless(sequence, 9)(records(tmp_path))
    hub = await asyncio.to_thread(start_hub)
    assert "block_damaged" in hub.stderr()
    _, receipt = await request("POST", f"{hub.url}/rows", json={"body": "after"})
    log = await read_log(f"{hub.url}/rows")
    assert [event["_seq"] for event in log] == [*range(1, EVENTS + 2)]
    assert receipt["_seq"] == EVENTS + 1
    assert await counted(hub.url) == 0


@pytest.fixture
async def running(stopped: Path, start_hub: HubStarter, tmp_path: Path) -> Hub:
    """A hub that holds one more event, alone in its block and projected."""
    shutil.copytree(stopped / "data", tmp_path / "data")
    hub = await asyncio.to_thread(start_hub)
    message = {"id": "after", "body": BODY}
    assert (await request("POST", f"{hub.url}/rows", json=message))[1]["_seq"] == EVENTS + 1
    assert (await get(f"{hub.url}/rows", id="after", _c="id")) == [{"id": "after"}]
    return hub


def kill_broker(hub: Hub, damage: Damage) -> None:
    """Have a running hub's broker find less than it had."""
    damage(records(hub.folder))
    forget_index(hub.folder)
    os.kill(broker_pid(hub), signal.SIGKILL)


async def test_a_loss_under_a_running_hub_is_reported(running: Hub) -> None:
    kill_broker(running, payload_of(EVENTS))
    await until(lambda: EVENTS in reported(running.stderr()))
    assert await counted(running.url) >= 1
    assert (await request("POST", f"{running.url}/rows", json={"body": "x"}))[0] == 201


async def test_a_log_that_is_truncated_under_a_running_hub_ends_it(running: Hub) -> None:
    """Its next events would take the sequences of those that clients have."""
    process = running.process
    assert process is not None
    kill_broker(running, payload_of(EVENTS + 1))
    await until(lambda: process.poll() is not None)
    assert process.returncode == 1
    await asyncio.to_thread(running.start)
    assert EVENTS + 1 in reported(running.stderr())
