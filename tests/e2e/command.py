"""Command: `eventhub` as a process, run to its end, and the little that its tests share."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

DEADLINE_SECONDS = 40.0
EVENTHUB = (sys.executable, "-m", "eventhub")
GOOD = """
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {body: TEXT, n: INTEGER}
"""


def run(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*EVENTHUB, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        check=False,
    )


def run_all(*commands: Sequence[object]) -> list[subprocess.CompletedProcess[str]]:
    """Run independent commands in parallel; most of their time is start-up."""
    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(lambda words: run(*words), commands))


def output(*words: object, env: dict[str, str] | None = None) -> str:
    """Run a command that must succeed, and say nothing on standard error."""
    done = run(*words, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(code: int, done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line for people of a command that must have failed; log lines do not count."""
    assert done.returncode == code, done
    assert done.stdout == ""
    [line] = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    return line.removeprefix("eventhub: ")


def written(folder: Path, text: str, name: str = "eventhub.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def post(url: str, **message: object) -> dict[str, Any]:
    with urlopen(Request(url, json.dumps(message).encode(), method="POST")) as answer:
        return dict(json.load(answer))


def rows(url: str) -> list[dict[str, Any]]:
    with urlopen(url) as answer:
        return list(json.load(answer))
