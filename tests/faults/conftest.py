"""Fixtures of fault tests: a hub, a small disk, and what the hub logged if a test failed."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.e2e.hub import Hub
from tests.faults.load import CONFIG

HubStarter = Callable[..., Hub]
"""`start_hub(YAML text, folder)`: a started hub."""
SmallDisk = Callable[[str], Path]
"""`small_disk("64m")`: the folder of an empty filesystem of that size."""


@pytest.fixture
def start_hub(tmp_path: Path) -> Iterator[HubStarter]:
    """Start hubs; all are gone after the test."""
    hubs: list[Hub] = []

    def start(config: str = CONFIG, folder: Path = tmp_path) -> Hub:
        (folder / "eventhub.yaml").write_text(config)
        hub = Hub(folder / "eventhub.yaml", folder, [])
        hubs.append(hub)
        hub.start()
        return hub

    yield start
    for hub in hubs:
        hub.kill()
        sys.stderr.write(hub.stderr())  # pytest shows it if the test failed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Mount filesystems that can be filled."""
    with ExitStack() as mounts:
        yield lambda size: mounts.enter_context(_mounted(tmp_path, size))


@contextmanager
def _mounted(folder: Path, size: str) -> Iterator[Path]:
    disk = folder / f"disk-{size}"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if os.getuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small filesystem needs root and its capabilities")
    try:
        yield disk
    finally:
        # Lazily: a hub of a failed test may still have files open there.
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def broker_pid(hub: Hub) -> int:
    """Return the process id of the nats-server of a hub."""
    assert hub.process is not None
    children = psutil.Process(hub.process.pid).children(recursive=True)
    [pid] = [child.pid for child in children if child.name() == "nats-server"]
    return int(pid)
