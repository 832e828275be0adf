"""The work queue of docs/examples/queue: each job has one result, whatever happens to workers."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from eventhub_client import Hub
from tests.e2e.hub import Hub as Server
from tests.e2e.hub import running_hub
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("eventhub_client")
EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "queue"
LEASE_SECONDS = "2.5"


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Server]:
    with running_hub(tmp_path, (EXAMPLE / "eventhub.yaml").read_text("utf-8")) as server:
        yield server


def states(hub: Hub) -> Counter[str]:
    return Counter(row["state"] for row in hub.arrow("jobs").to_pylist())


def test_each_job_has_one_result_though_a_worker_stops_and_comes_back_late(
    queue: Server, tmp_path: Path
) -> None:
    """The worker that stopped finds that it has lost its job, and its result is not stored."""
    workers: list[subprocess.Popen[bytes]] = []
    said = tmp_path / "ann.txt"

    def start(name: str, out: BinaryIO | None = None) -> None:
        program = str(EXAMPLE / "worker.py")
        command = [sys.executable, "-u", program, queue.url, name, LEASE_SECONDS]
        workers.append(subprocess.Popen(command, stdout=out))

    try:
        with Hub(queue.url) as hub, said.open("wb") as out:
            start("ann", out)
            hub.post("jobs", {"id": "slow", "text": "a slow job", "seconds": 1.5})
            until(lambda: states(hub)["taken"])
            workers[0].send_signal(signal.SIGSTOP)
            hub.bulk("jobs", ({"text": "two words"} for _ in range(20)))
            start("bob")
            start("cy")
            until(lambda: states(hub) == {"done": 21})
            workers[0].send_signal(signal.SIGCONT)
            until(lambda: "another worker has slow" in said.read_text())
            events = list(hub.log("jobs"))
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(20)
    done = [each.row for each in events if each.row and each.row["state"] == "done"]
    assert len({row["id"] for row in done}) == len(done) == 21, "a job has two results"
    [slow] = [row for row in done if row["id"] == "slow"]
    assert (slow["result"], slow["worker"] in ("bob", "cy")) == (3, True)


def test_the_example_is_short() -> None:
    assert sum(len(path.read_text("utf-8").splitlines()) for path in EXAMPLE.iterdir()) < 60
