"""The state of a hub is for operators: programs on this machine, and requests with the token."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import GOOD, written
from tests.e2e.hub import Hub
from tests.e2e.wire import Answer, ask

TOKEN = "0123456789abcdef-operators"
VERSION = re.compile(rb"aiohttp|python_info|[0-9]+\.[0-9]+\.[0-9]+", re.IGNORECASE)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that all can reach."""
    folder: Path = tmp_path_factory.mktemp("hub")
    (folder / "admin.txt").write_text(TOKEN + "\n")
    config = "server: {host: 0.0.0.0, admin: {token_file: admin.txt}}\n" + GOOD
    hub = Hub(written(folder, config), folder, [])
    hub.start()
    yield hub
    hub.kill()


def own_address() -> str:
    """Return an address of this machine that others can reach, or skip."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no network")
        address: str = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no network")
    return address


def get(hub: Hub, path: str, *lines: str, at: str = "127.0.0.1", version: str = "1.1") -> Answer:
    url = hub.url.replace("0.0.0.0", at)
    host = url.removeprefix("http://")
    request = "\r\n".join([f"GET {path} HTTP/{version}", f"Host: {host}", *lines, "", ""])
    return ask(url, request.encode())


def test_local_programs_see_everything_but_versions(hub: Hub) -> None:
    reply = get(hub, "/metrics")
    assert reply.status == 200
    assert b"eventhub_connections" in reply.body
    assert not VERSION.search(re.sub(rb"(?m)^[a-z_]+(\{.*?\})? [0-9.e+]+$", b"", reply.body))
    assert get(hub, "/readyz").body == b"ready\n"


def test_remote_clients_need_the_token(hub: Hub) -> None:
    address = own_address()
    reply = get(hub, "/metrics", at=address)
    assert (reply.status, reply.code) == (403, "forbidden")
    assert b"eventhub_" not in reply.body
    for scheme in ("Bearer", "bearer"):
        assert get(hub, "/metrics", f"Authorization: {scheme} {TOKEN}", at=address).status == 200
    for wrong in (TOKEN[:-1], TOKEN + "x", "", "é"):
        assert get(hub, "/metrics", f"Authorization: Bearer {wrong}", at=address).status == 403


@pytest.mark.parametrize(
    "line",
    [
        *("X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9", "Via: 1.1 proxy"),
        *("x-real-ip: 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-For:"),
    ],
)
def test_a_client_behind_a_proxy_on_this_machine_is_not_local(hub: Hub, line: str) -> None:
    assert get(hub, "/metrics", line).status == 403
    assert get(hub, "/metrics", line, f"Authorization: Bearer {TOKEN}").status == 200
    assert get(hub, "/metrics", version="1.0").status == 403
