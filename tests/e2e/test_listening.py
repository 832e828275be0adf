"""A hub takes its address before anything else, also one that is a Unix socket."""

import asyncio
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.client import V1
from tests.e2e.command import GOOD, refused, run
from tests.e2e.hub import DEADLINE_SECONDS, Hub, HubFactory

BEHIND_PROXY = "auth: {proxy: {header: X-User, trusted: [unix]}}\n"


def test_a_port_in_use_is_said_before_anything_else_starts(
    hub_factory: HubFactory, tmp_path: Path
) -> None:
    hub = hub_factory(GOOD)
    port = hub.url.rpartition(":")[2]
    file, data = tmp_path / "other.yaml", tmp_path / "other-data"
    file.write_text(GOOD)
    said = refused(2, run("serve", file, "--port", port, "--data", data))
    reason = "Address already in use: stop the program that uses it, or name another port or path"
    assert said == f"cannot listen on 127.0.0.1:{port}: {reason} (--port, --host)"
    assert not data.exists()


def test_a_port_in_use_is_said_before_the_hub_is_loaded(hub_factory: HubFactory) -> None:
    """To load the broker, the tables and the rest takes a second."""
    port = hub_factory(GOOD).url.rpartition(":")[2]
    code = f"""
import sys
from eventhub.cli import main
try:
    main(["serve", sys.argv[1], "--port", "{port}"])
finally:
    print(*(name for name in ("aiohttp", "duckdb", "nats") if name in sys.modules))
"""
    file = hub_factory(GOOD).config
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "\n"), done.stderr


@pytest.fixture
def hub(hub_factory: HubFactory, tmp_path: Path) -> Hub:
    """A hub on a Unix socket, as nginx would be given it."""
    return hub_factory(BEHIND_PROXY + GOOD, host=f"unix:{tmp_path}/hub.sock")


def path_of(hub: Hub) -> Path:
    return Path(hub.url.removeprefix("unix:"))


def session(hub: Hub) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path_of(hub))))


async def test_writing_listening_and_logins_work_over_a_unix_socket(hub: Hub) -> None:
    """A login comes from the header of the proxy, which is whoever may use the socket."""
    url = "http://localhost/notes"
    async with session(hub) as http, http.ws_connect(url, protocols=(V1,)) as socket:
        assert "_ready" in await socket.receive_json(timeout=DEADLINE_SECONDS)
        body = {"id": "a", "body": "x" * 100_000}
        async with http.post(url, json=body, headers={"X-User": "ann"}) as answer:
            assert answer.status == 201
        frame = await socket.receive_json(timeout=DEADLINE_SECONDS)
        assert (frame["id"], frame["user"]) == ("a", "ann")
        async with http.get(url, headers={"Accept": "text/event-stream"}) as stream:
            while not (line := await stream.content.readline()).startswith(b'data: {"_resume'):
                assert line
        async with http.get("http://localhost/metrics") as answer:
            assert answer.status == 403  # a proxy's requests look like those of local programs


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_reads_over_a_unix_socket(hub: Hub) -> None:
    command = ["curl", "-sS", "--unix-socket", str(path_of(hub)), "http://hub/notes"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert (done.returncode, json.loads(done.stdout)) == (0, []), done.stderr


def test_a_unix_socket_is_for_the_group_and_gone_after_a_stop(hub: Hub) -> None:
    assert stat.S_IMODE(path_of(hub).stat().st_mode) == 0o660
    assert hub.stop() == 0
    assert not path_of(hub).exists()


def test_after_a_kill_the_unix_socket_is_taken_over(hub: Hub) -> None:
    hub.kill()
    assert path_of(hub).exists()
    hub.start()
    assert hub.stop() == 0
    assert not path_of(hub).exists()


async def test_clients_that_come_while_a_hub_starts_are_answered_once_it_is_ready(
    hub_factory: HubFactory,
) -> None:
    hub = await asyncio.to_thread(hub_factory, GOOD)
    assert await asyncio.to_thread(hub.stop) == 0
    hub.launch()
    assert hub.process is not None
    async with aiohttp.ClientSession() as http, asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                async with http.get(f"{hub.url}/notes") as answer:
                    assert (answer.status, await answer.json()) == (200, [])
                break
            except aiohttp.ClientConnectorError:  # it has not listened yet
                await asyncio.sleep(0.001)
    os.kill(hub.process.pid, signal.SIGTERM)
    assert await asyncio.to_thread(hub.process.wait, DEADLINE_SECONDS) == 0
