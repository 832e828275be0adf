"""A data folder has one broker: found by its owner, restarted if it dies, ended with its hub."""

import asyncio
import os
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nats
import psutil
import pytest
from nats.js.api import StreamConfig

import eventhub.broker.embedded
import eventhub.broker.server
import eventhub.broker.staging
from eventhub.broker import EmbeddedBroker, running_broker
from eventhub.broker.folder import held_lock
from eventhub.broker.server import Server, write_configs
from eventhub.broker.staging import MEMORY
from eventhub.errors import Misconfigured
from eventhub.jetstream import JetStreamLog
from tests.builders import channel, make_event

HUB = """
import asyncio, sys
from pathlib import Path
from eventhub.broker import EmbeddedBroker

async def main():
    async with EmbeddedBroker(Path(sys.argv[1])) as broker:
        print(broker.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def staging_of(folder: Path) -> tuple[Path, Path]:
    """Return the link to where batches are staged, and where that is."""
    [batches] = folder.glob(f"jetstream/jetstream/*/streams/{channel().stream}/batches")
    return batches, batches.resolve()


def memory_of(pid: int) -> Path:
    """Return the folder in memory of a hub."""
    [memory] = MEMORY.glob(f"eventhub-{pid}-*")
    return memory


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


async def start_hub(folder: Path) -> tuple[asyncio.subprocess.Process, int]:
    """Start a hub's broker in another process; return that process and the broker's id."""
    hub = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HUB, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert hub.stdout is not None
    async with asyncio.timeout(10):
        return hub, int(await hub.stdout.readline())


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


async def test_a_second_hub_on_the_folder_is_refused(broker: EmbeddedBroker) -> None:
    with pytest.raises(Misconfigured, match=rf"{broker.folder} is in use by process {os.getpid()}"):
        async with EmbeddedBroker(broker.folder):
            pass
    assert running_broker(broker.folder) is not None


async def test_the_address_is_published_only_while_it_runs(tmp_path: Path) -> None:
    assert running_broker(tmp_path) is None
    async with EmbeddedBroker(tmp_path) as broker:
        address = running_broker(tmp_path)
        assert address is not None
        assert (address.url, address.token) == (broker.url, broker.token)
    assert running_broker(tmp_path) is None


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


async def test_the_broker_dies_with_its_hub_and_frees_the_folder(tmp_path: Path) -> None:
    hub, broker_pid = await start_hub(tmp_path)
    hub.kill()
    await hub.wait()
    async with EmbeddedBroker(tmp_path) as broker:
        assert broker.pid != broker_pid
        assert not is_running(broker_pid)


async def test_an_orphan_still_holds_the_folder(tmp_path: Path) -> None:
    hub, broker_pid = await start_hub(tmp_path)
    os.kill(broker_pid, signal.SIGSTOP)
    hub.kill()
    await hub.wait()
    try:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            successor = EmbeddedBroker(tmp_path)
            entering = group.create_task(successor.__aenter__())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await until(entering.done)
            os.kill(broker_pid, signal.SIGCONT)
        await successor.__aexit__(None, None, None)
    finally:
        if is_running(broker_pid):
            os.kill(broker_pid, signal.SIGKILL)


async def test_a_broker_that_cannot_start_gives_the_reason(tmp_path: Path) -> None:
    (tmp_path / "jetstream").write_text("in the way")
    with pytest.raises(Misconfigured, match="directory"):
        async with EmbeddedBroker(tmp_path):
            pass
    (tmp_path / "jetstream").unlink()
    async with EmbeddedBroker(tmp_path):
        assert running_broker(tmp_path) is not None


async def test_a_server_that_does_not_get_ready_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventhub.broker.server, "START_SECONDS", 0.2)
    write_configs(tmp_path, "token")
    async with held_lock(tmp_path) as lock:
        server = await Server.spawn(tmp_path, port=-1, lock=lock, stores_nothing=False)
        os.kill(server.pid, signal.SIGSTOP)
        with pytest.raises(Misconfigured, match="did not start"):
            await server.ready("token")
        await server.kill()
        assert await server.wait() == -signal.SIGKILL


async def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="data folder"):
        async with EmbeddedBroker(tmp_path / "file"):
            pass


async def test_batches_are_staged_in_memory_and_leave_nothing_there(tmp_path: Path) -> None:
    """Over a restart of the server too, which removes the links."""
    async with (
        EmbeddedBroker(tmp_path) as broker,
        JetStreamLog.connect(broker.url, token=broker.token) as log,
    ):
        stream = await log.open(channel())
        await broker.stage_in_memory()
        batches, memory = staging_of(tmp_path)
        assert memory.is_relative_to(MEMORY)
        assert memory.parent.stat().st_mode & 0o077 == 0
        killed = broker.pid
        os.kill(killed, signal.SIGKILL)
        await until(lambda: broker.pid != killed and batches.is_symlink())
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(stream.append(make_event(id=f"{number}"), expect=0))
        assert list(memory.iterdir()) == []  # it was staged, and removed
        assert batches.is_symlink()
    assert not memory.parent.exists()
    assert not batches.is_symlink()


async def test_a_folder_in_memory_that_is_removed_is_created_again(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    """As systemd does when the user logs out."""
    stream = await log.open(channel())
    await broker.stage_in_memory()
    batches, memory = staging_of(broker.folder)
    shutil.rmtree(memory.parent)
    for turn in range(2):  # before and after it was noticed
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(stream.append(make_event(id=f"{turn}.{number}"), expect=0))
        await until(lambda: batches.is_dir())
    assert batches.readlink() != memory
    assert (await stream.bounds()).last == 40


async def test_leftovers_of_a_killed_hub_in_memory_are_removed_at_the_next_start(
    tmp_path: Path,
) -> None:
    hub, pid = await start_hub(tmp_path)
    left = memory_of(hub.pid)
    hub.kill()
    await hub.wait()
    async with EmbeddedBroker(tmp_path):
        assert not left.exists()
    assert not is_running(pid)


async def test_without_a_folder_in_memory_batches_are_staged_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventhub.broker.staging, "MEMORY", tmp_path / "nowhere")
    async with (
        EmbeddedBroker(tmp_path / "data") as broker,
        JetStreamLog.connect(broker.url, token=broker.token) as log,
    ):
        stream = await log.open(channel())
        await broker.stage_in_memory()
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(stream.append(make_event(id=f"{number}"), expect=0))
        batches, _ = staging_of(tmp_path / "data")
        assert batches.is_dir()
        assert not batches.is_symlink()
        assert (await stream.bounds()).last == 20


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
        info = await client.jetstream().stream_info("LOG")
        assert info.state.messages == 12  # it was put right
