"""Machine: what a process tree has used, and what it ran on."""

import os
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

FSYNCS = 200
TICK_SECONDS = 0.01
"""What the kernel counts CPU in (USER_HZ): less cannot be told from nothing."""


@dataclass(slots=True)
class Spent:
    """Seconds of a block; 0 until it is over."""

    wall: float = 0.0
    cpu: float = 0.0
    """utime and stime of a process tree."""


@contextmanager
def spending(pid: int) -> Iterator[Spent]:
    """Measure what a process tree spends in a block."""
    spent = Spent()
    wall, cpu = time.perf_counter(), cpu_seconds(pid)
    yield spent
    spent.wall = time.perf_counter() - wall
    spent.cpu = max(TICK_SECONDS, cpu_seconds(pid) - cpu)


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all that it started: of a hub, its broker too."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """Return utime and stime of a process tree so far, in whole ticks."""
    times = [process.cpu_times() for process in tree(pid)]
    return sum(each.user + each.system for each in times)


def own_cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of one process so far, without its children, to the microsecond.

    Linux has a clock for each process; this is the one that clock_getcpuclockid(3) names.
    """
    return time.clock_gettime((~pid << 3) | 2)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of one process, its children not included."""
    return int(psutil.Process(pid).memory_info().rss)


def described(folder: Path) -> dict[str, Any]:
    """Return what the figures depend on; `folder` is where the data will be."""
    return {
        "machine": f"{_cpu_model()}, {os.cpu_count()} cores, {platform.machine()}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "fsync_ms": round(1000 * _fsync_seconds(folder), 3),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    with Path("/proc/cpuinfo").open() as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _fsync_seconds(folder: Path) -> float:
    """Return the median of writing and fsyncing 300 bytes."""
    taken = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            began = time.perf_counter()
            file.write(b"f" * 300)
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)
