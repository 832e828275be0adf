"""A supervisor hears when a hub is ready, reloads and stops, and that it is alive."""

import os
import re
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import GOOD
from tests.e2e.hub import DEADLINE_SECONDS, Hub, HubFactory


class Systemd:
    """The socket of a supervisor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(DEADLINE_SECONDS)
        self._socket.bind(str(path))

    def until(self, line: str) -> list[str]:
        """Return what comes, up to a message that has a line."""
        found: list[str] = []
        deadline = time.monotonic() + DEADLINE_SECONDS
        while line not in found:
            assert time.monotonic() < deadline, found
            found += self._socket.recv(4096).decode().split("\n")
        return found

    def falls_silent(self, seconds: float) -> bool:
        """Return whether nothing comes for so long, once what has come is read."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            if not select.select([self._socket], [], [], seconds)[0]:
                return True
            self._socket.recv(4096)
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    """A supervisor that wants to hear from a hub each second."""
    made = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(made.path))
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    yield made
    made.close()


def signalled(hub: Hub, number: signal.Signals) -> None:
    assert hub.process is not None
    os.kill(hub.process.pid, number)


def test_a_supervisor_hears_of_each_state(systemd: Systemd, hub_factory: HubFactory) -> None:
    hub = hub_factory(GOOD)
    assert systemd.until("READY=1")[-2:] == ["READY=1", "STATUS=serving"]
    signalled(hub, signal.SIGHUP)
    heard = systemd.until("READY=1")
    assert "RELOADING=1" in heard
    assert any(re.fullmatch(r"MONOTONIC_USEC=\d+", line) for line in heard)
    hub.config.write_text(GOOD + "port: 1\n")
    signalled(hub, signal.SIGHUP)
    assert "the last reload was refused" in systemd.until("READY=1")[-1]
    signalled(hub, signal.SIGTERM)
    systemd.until("STOPPING=1")


def test_the_watchdog_is_pinged_while_the_hub_runs_and_not_while_it_hangs(
    systemd: Systemd, hub_factory: HubFactory
) -> None:
    hub = hub_factory(GOOD)
    systemd.until("READY=1")
    for _ in range(3):
        systemd.until("WATCHDOG=1")
    signalled(hub, signal.SIGSTOP)
    assert systemd.falls_silent(seconds=1.0)
    signalled(hub, signal.SIGCONT)
    systemd.until("WATCHDOG=1")
