"""A hub works on systems that lack what only makes it faster, or ends its children for it."""

import os
import platform
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.request import Request, urlopen

import psutil
import pytest

from eventhub.delivery.broadcast import MAX_ONE_BY_ONE
from tests.e2e.client import connect
from tests.e2e.command import post
from tests.e2e.hub import DEADLINE_SECONDS, Hub
from tests.e2e.poor_system import CALLS

CONFIG = """
log: {level: debug}
url:
  notes: {pattern: /notes, handler: MessageHandler, kwargs: {columns: {body: TEXT}}}
  query: {pattern: /query, handler: SQLHandler, kwargs: {tables: notes}}
"""
LOGGED = {
    "affinity": "system_without_affinity",
    "prctl": "system_without_prctl",
    "shm": "staging_on_disk",
    "aio": "broadcast_without_aio",
}

pytestmark = pytest.mark.skipif(
    platform.machine() not in CALLS, reason="no numbers of system calls for this machine"
)


def hub_without(missing: list[str], folder: Path) -> Hub:
    (folder / "eventhub.yaml").write_text(CONFIG)
    program = ("tests.e2e.poor_system", ",".join(missing))
    return Hub(folder / "eventhub.yaml", folder, [], program)


@pytest.mark.parametrize("missing", [*([name] for name in LOGGED), list(LOGGED)], ids=",".join)
async def test_a_hub_without_it_reads_writes_replays_and_restarts_after_a_kill(
    missing: list[str], tmp_path: Path
) -> None:
    hub = hub_without(missing, tmp_path)
    hub.start()
    try:
        post(f"{hub.url}/notes", id="a", body="first")
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(connect(f"{hub.url}/notes"))
                for _ in range(MAX_ONE_BY_ONE + 1)
            ]
            for client in clients:
                assert [row["body"] for row in await client.replay()] == ["first"]
            await clients[0].write({"id": "b", "body": "second"})
            for client in clients[1:]:
                assert (await client.receive())["body"] == "second"
        assert counted(hub) == b'[{"n":2}]'
        for name, event in LOGGED.items():
            assert (event in hub.stderr()) == (name in missing), event
        if "prctl" in missing:
            kill_alone(hub)
            hub.start()  # the broker and the process of SQL have ended: their files are free
            assert counted(hub) == b'[{"n":2}]'
    finally:
        assert hub.stop() == 0


def counted(hub: Hub) -> bytes:
    url = f"{hub.url}/query?min_seq=2"
    question = Request(url, b"SELECT count(*) AS n FROM notes")
    with urlopen(question, timeout=DEADLINE_SECONDS) as answer:
        return bytes(answer.read())


def kill_alone(hub: Hub) -> None:
    """Kill the hub, without what it has started, and wait until that has ended too."""
    assert hub.process is not None
    children = psutil.Process(hub.process.pid).children(recursive=True)
    assert children
    os.kill(hub.process.pid, signal.SIGKILL)
    hub.process.wait(DEADLINE_SECONDS)
    _, left = psutil.wait_procs(children, DEADLINE_SECONDS)
    assert left == []
