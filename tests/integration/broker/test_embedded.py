"""A data folder has one broker: found by its owner, restarted if it dies, ended with its hub."""

import asyncio
import os
import signal
import stat
import time
from contextlib import suppress
from pathlib import Path

import nats
import psutil
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

import eventhub.broker.embedded
import eventhub.broker.server
import eventhub.broker.staging
from eventhub.broker import EmbeddedBroker, running_broker
from eventhub.errors import Misconfigured
from eventhub.jetstream import JetStreamLog
from tests.builders import channel, make_event
from tests.integration.broker.hubs import until


def open_a_hole(folder: Path) -> None:
    """Flip one bit of a sequence in a file that the server does not read at its start."""
    [block] = folder.glob("jetstream/**/LOG/msgs/1.blk")
    content = bytearray(block.read_bytes())
    damaged = content.index((6).to_bytes(8, "little"))
    content[damaged + 5] ^= 4
    block.write_bytes(content)


def is_mended(folder: Path) -> bool:
    """Return whether `open_a_hole` was undone."""
    [block] = folder.glob("jetstream/**/LOG/msgs/1.blk")
    return (6).to_bytes(8, "little") in block.read_bytes()


async def count(client: Client) -> int:
    """Return what a server has that was just started anew: the one before it may get requests."""
    async with asyncio.timeout(40):
        while True:
            with suppress(nats.errors.Error):
                info = await client.jetstream(timeout=1).stream_info("LOG")
                return int(info.state.messages)


async def test_events_outlive_a_restart_of_the_hub(tmp_path: Path) -> None:
    epochs = set()
    for expect in (0, 1):
        async with (
            EmbeddedBroker(tmp_path) as broker,
            JetStreamLog.connect(broker.url, token=broker.token) as log,
        ):
            stream = await log.open(channel())
            assert (await stream.bounds()).last == expect
            await stream.append(make_event(id="a"), expect=expect)
            epochs.add(stream.epoch)
    assert len(epochs) == 1


async def test_only_the_owner_may_read_the_token(broker: EmbeddedBroker) -> None:
    holders = [p for p in broker.folder.iterdir() if p.is_file() and broker.token in p.read_text()]
    assert {path.name for path in holders} == {"broker.conf", "broker.full.conf", "broker.lock"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in holders} == {0o600}


async def test_the_broker_listens_on_loopback_only_and_requires_the_token(
    broker: EmbeddedBroker,
) -> None:
    sockets = psutil.Process(broker.pid).net_connections(kind="inet")
    assert {s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    with pytest.raises(Misconfigured, match="credentials"):
        async with JetStreamLog.connect(broker.url, token="wrong"):
            pass


async def test_a_killed_broker_restarts_at_the_same_address(broker: EmbeddedBroker) -> None:
    address, pid = running_broker(broker.folder), broker.pid
    for _ in range(2):
        killed = broker.pid
        os.kill(killed, signal.SIGKILL)
        await until(lambda killed=killed: broker.pid != killed)  # type: ignore[misc] # bound now
    async with JetStreamLog.connect(broker.url, token=broker.token) as log:
        assert log.is_connected
    assert broker.pid != pid
    assert running_broker(broker.folder) == address


async def test_a_broker_that_cannot_start_gives_the_reason(tmp_path: Path) -> None:
    (tmp_path / "jetstream").write_text("in the way")
    with pytest.raises(Misconfigured, match="directory"):
        async with EmbeddedBroker(tmp_path):
            pass
    (tmp_path / "jetstream").unlink()
    async with EmbeddedBroker(tmp_path):
        assert running_broker(tmp_path) is not None


@pytest.mark.parametrize("is_killed", [False, True])
async def test_a_server_that_reads_endlessly_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_killed: bool
) -> None:
    """One bit of a sequence has it fill a hole of 2^42 messages, until no memory is left.

    If somebody kills it before, the file is looked at then: it would do the same again.
    """
    grown = 1 << 60 if is_killed else 128 << 20
    monkeypatch.setattr(eventhub.broker.embedded, "GROWN_BYTES", grown)
    async with (
        EmbeddedBroker(tmp_path) as broker,
        await nats.connect(broker.url, token=broker.token) as client,
    ):
        # At its start a server reads what was stored in the window for duplicates: later nothing.
        config = StreamConfig("LOG", subjects=["log"], allow_direct=True, duplicate_window=0.1)
        await client.jetstream().add_stream(config)
        for _ in range(12):
            await client.jetstream().publish("log", bytes(900_000))
        stored = time.monotonic()
        await until(lambda: time.monotonic() > stored + 0.2)
    open_a_hole(tmp_path)
    async with (
        EmbeddedBroker(tmp_path) as broker,
        await nats.connect(broker.url, token=broker.token) as client,
    ):
        pid = broker.pid
        with pytest.raises(nats.errors.TimeoutError):
            await client.request("$JS.API.DIRECT.GET.LOG", b'{"seq": 7}', timeout=0.1)
        if is_killed:
            os.kill(pid, signal.SIGKILL)
            await until(lambda: is_mended(tmp_path))
        await until(lambda: broker.pid != pid)
        assert await count(client) == 12  # it was put right
