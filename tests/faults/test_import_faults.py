"""An import that is killed brings each row once when it is repeated."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from urllib.request import urlopen

from tests.e2e.command import EVENTHUB, GOOD
from tests.faults.conftest import HubStarter

ROWS = 100_000
DEADLINE_SECONDS = 60.0


def stored(url: str) -> int:
    """How many events the hub has."""
    with urlopen(f"{url}/notes?_limit=0") as answer:
        return int(answer.headers["EventHub-Position"].rpartition(".")[2])


def test_a_hundred_thousand_rows_come_in_once_over_a_kill(
    start_hub: HubStarter, tmp_path: Path
) -> None:
    hub = start_hub(GOOD)
    source = tmp_path / "rows.csv"
    source.write_text("body,n\n" + "".join(f"text {n},{n}\n" for n in range(ROWS)))
    command = [*EVENTHUB, "import", str(hub.folder / "eventhub.yaml"), "notes", str(source)]
    with subprocess.Popen(command, start_new_session=True) as first:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while stored(hub.url) < 5_000:
            assert first.poll() is None
            assert time.monotonic() < deadline
        os.killpg(first.pid, signal.SIGKILL)
    before = stored(hub.url)
    assert before < ROWS
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = f"notes: {ROWS - before} rows imported, {before} are there already\n"
    assert (done.returncode, done.stdout) == (0, told), done
    with urlopen(f"{hub.url}/notes?_c=n") as answer:
        assert [row["n"] for row in json.load(answer)] == list(range(ROWS))
