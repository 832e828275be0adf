"""The examples of docs/export.md work as they are printed."""

import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.e2e.command import EVENTHUB, post
from tests.e2e.hub import HubFactory

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}(?: fragment)?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_work_as_printed(hub_factory: HubFactory) -> None:
    config = "".join(blocks("yaml"))
    hub = hub_factory(config)
    (hub.folder / "shop.yaml").write_text(config)
    for item, price, paid in (("tea", 3.5, True), ("pot", 20, False), ("tea", 12.25, False)):
        post(f"{hub.url}/orders", item=item, price=price, paid=paid)
    (hub.folder / "old.csv").write_text("product,pieces\ncup,3\n")
    with closing(sqlite3.connect(hub.folder / "old.db")) as database, database:
        database.execute("CREATE TABLE sales (id TEXT, product TEXT, pieces INTEGER)")
        database.execute("INSERT INTO sales VALUES ('s1', 'kettle', 1), ('s2', 'spoon', 6)")
    for line in "".join(blocks("sh")).splitlines():
        program, *words = shlex.split(line, comments=True)
        assert program == "eventhub"
        done(hub.folder, *EVENTHUB, *words)
    assert len((hub.folder / "open.csv").read_text().splitlines()) == 3
    for code in blocks("python"):
        done(hub.folder, sys.executable, "-c", code)


def done(folder: Path, *command: str) -> None:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, (command, ended.stderr)
