"""A supervisor is told nothing by a process that it did not start, and never stops the hub."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from eventhub.config import notify_socket, watchdog_seconds
from eventhub.supervisor import Supervisor


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_pinged_only_by_the_process_that_it_is_for(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert watchdog_seconds(environ) == seconds


def test_without_a_socket_nobody_is_told() -> None:
    assert notify_socket({"NOTIFY_SOCKET": ""}) is None
    Supervisor(None).ready("serving")


def test_an_abstract_socket_is_told() -> None:
    name = f"@eventhub-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0"))
        Supervisor(name).ready("serving")
        assert listening.recv(100) == b"READY=1\nSTATUS=serving"


def test_a_socket_whose_path_has_an_at_sign_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "eventhub@gateway")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.settimeout(1.0)
        Supervisor(path).ready("serving")
        assert listening.recv(100) == b"READY=1\nSTATUS=serving"


def test_a_supervisor_that_is_gone_or_reads_nothing_is_no_error(tmp_path: Path) -> None:
    Supervisor(str(tmp_path / "none")).ready("serving")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "full"))
        for _ in range(10_000):
            Supervisor(str(tmp_path / "full")).ready("serving")


async def test_a_hub_that_is_not_alive_does_not_ping(tmp_path: Path) -> None:
    stop, asked = asyncio.Event(), list[bool]()

    def is_alive() -> bool:
        asked.append(True)
        if len(asked) == 3:
            stop.set()
        return False

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        await Supervisor(str(tmp_path / "notify"), 0.03).watch(is_alive, stop)
        assert listening.recv(100) == b"STOPPING=1\nSTATUS=stopping"
