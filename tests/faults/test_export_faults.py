"""An export that is killed, or has no room on its disk, loses nothing and repeats nothing."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.channel import endpoints_of
from eventhub.config import load
from eventhub.ingest.loading import Loader
from eventhub.jetstream import JetStreamLog
from tests.e2e.command import DEADLINE_SECONDS, EVENTHUB, GOOD, run, written
from tests.faults.conftest import SmallDisk

pytestmark = pytest.mark.timeout(240)
EVENTS = 250_000
"""Two and a half steps."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with a long log."""
    file = written(tmp_path_factory.mktemp("filled"), GOOD)
    asyncio.run(_fill(file))
    return file


async def _fill(file: Path) -> None:
    [endpoint] = endpoints_of(load(file))
    async with (
        EmbeddedBroker(file.parent / "data") as broker,
        JetStreamLog.connect(broker.url, token=broker.token) as log,
    ):
        loader = Loader(await log.open(endpoint.channel))

        async def arrays() -> AsyncIterator[list[dict[str, object]]]:
            for start in range(0, EVENTS, 1000):
                yield [{"id": str(n), "n": n} for n in range(start, start + 1000)]

        await loader.load(arrays(), print)


def command(file: Path, to: Path, *words: str) -> list[str]:
    return [*EVENTHUB, "export", str(file), "notes", "--events", "--to", str(to), *words]


def killed_when(file: Path, to: Path, there: str) -> int:
    """Kill -9 an export as soon as a new file of a pattern exists."""
    before = set(to.rglob(there))
    with subprocess.Popen(command(file, to), start_new_session=True) as process:
        give_up = time.monotonic() + DEADLINE_SECONDS
        while process.poll() is None and set(to.rglob(there)) <= before:
            assert time.monotonic() < give_up
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode


def test_an_export_that_is_killed_anywhere_resumes(filled: Path, tmp_path: Path) -> None:
    to = tmp_path / "out"
    moments = ["manifest.json", ".*.partial", "*.parquet", ".*.partial", "*.parquet"]
    ends = [killed_when(filled, to, there) for there in moments]
    assert ends[:3] == [-signal.SIGKILL] * 3
    done = run(*command(filled, to)[len(EVENTHUB) :], *(["--continue"] if 0 in ends else []))
    assert done.returncode == 0, done.stderr
    assert f"notes: {EVENTS} events" in done.stdout
    sql = f"SELECT count(*), count(DISTINCT _seq), max(_seq), sum(n) FROM '{to}/*/*.parquet'"
    assert duckdb.connect().execute(sql).fetchall() == [
        (EVENTS, EVENTS, EVENTS, EVENTS * (EVENTS - 1) // 2)
    ]
    assert not [*to.rglob(".*")]
    assert len([*to.glob("*/*")]) == 3


def test_a_full_disk_ends_an_export_that_resumes_later(
    filled: Path, tmp_path: Path, small_disk: SmallDisk
) -> None:
    disk = small_disk("16m")
    done = run(*command(filled, disk / "all.csv")[len(EVENTHUB) :])
    assert done.returncode == 1
    assert "all.csv cannot be written" in done.stderr
    assert "No space left on device" in done.stderr
    assert [*disk.iterdir()] == []
    words = [*command(filled, disk / "out")[len(EVENTHUB) :], "--format", "csv"]
    full = run(*words)
    assert full.returncode == 1
    assert "No space left on device" in full.stderr
    subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
    done = run(*words)
    assert done.returncode == 0, done.stderr
    sql = f"SELECT count(*), count(DISTINCT _seq) FROM '{disk}/out/*/*.csv'"
    assert duckdb.connect().execute(sql).fetchall() == [(EVENTS, EVENTS)]
