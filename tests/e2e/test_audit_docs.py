"""The examples of docs/audit.md work as printed, on the demo."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.e2e.command import EVENTHUB
from tests.e2e.hub import HubFactory

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(?P<language>sh|text)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?")


def test_the_examples_work_as_printed(hub_factory: HubFactory, tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    shutil.copytree(DOCS / "examples" / "chat", demo, ignore=shutil.ignore_patterns("data"))
    hub = hub_factory(demo / "eventhub.yaml")
    printed = ""
    for block in _BLOCK.finditer((DOCS / "audit.md").read_text()):
        if block["language"] == "text":
            assert without_times(printed).rstrip() == without_times(block["text"]).rstrip()
            continue
        printed = ""
        for line in block["text"].splitlines():
            program, *words = shlex.split(line.replace("http://127.0.0.1:8080", hub.url))
            if program == "curl":
                printed += done(program, *words)
                continue
            assert program == "eventhub"
            if "eventhub.yaml" in words:
                words[words.index("eventhub.yaml")] = str(hub.config)
                words += ["--data", str(hub.folder / "data")]
            printed += done(*EVENTHUB, *words)


def done(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == 0, (command, ended.stderr)
    return ended.stdout.decode().replace("\r\n", "\n")


def without_times(text: str) -> str:
    return _TIME.sub("TIME", text)
