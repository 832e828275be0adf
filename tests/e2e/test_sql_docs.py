"""The examples of docs/sql.md work as they are printed."""

import json
import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import jwt

from tests.e2e.command import EVENTHUB, post
from tests.e2e.hub import HubFactory

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text()
VALUES = {"id": "m1", "moment": "2026-01-01"}
"""Of the parameters in the examples."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_work_as_printed(hub_factory: HubFactory) -> None:
    hub = hub_factory("".join(blocks("yaml")))
    topics = ("Help", "Help", "News")
    for number, topic in enumerate(topics):
        post(f"{hub.url}/chat", id=f"m{number}", topic=topic, votes=number + 2)
    statements = blocks("sql")
    assert len(statements) >= 4
    for statement in statements:
        named = {name: VALUES[name] for name in re.findall(r"\$(\w+)", statement)}
        body = json.dumps({"sql": statement, "params": named, "min_seq": len(topics)})
        headers = {"X-User": "ann"}
        with urlopen(Request(f"{hub.url}/sql", body.encode(), headers), timeout=30) as answer:
            assert json.load(answer), statement
    for line in "".join(blocks("sh")).splitlines():
        assert run(line.replace("http://127.0.0.1:8080", hub.url), hub.folder), line


def run(line: str, folder: Path) -> Any:
    """Return the output of a command; curl comes as ann."""
    program, *words = shlex.split(line, comments=True)
    command = [*EVENTHUB, *words] if program == "eventhub" else [program, *words]
    if program == "curl":
        command += ["--silent", "--fail", "--header", "X-User: ann"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, (line, ended.stderr)
    return ended.stdout or True


def test_the_example_of_flight_works_as_printed(hub_factory: HubFactory) -> None:
    secret = "a secret that is long enough to sign with"
    text = "".join(blocks("yaml")).replace(
        "auth:\n  proxy", f"auth:\n  jwt: {{secret: {secret}}}\n  proxy"
    )
    hub = hub_factory("server: {flight_port: 0}\n" + text)
    for number, topic in enumerate(("Help", "Help", "News")):
        post(f"{hub.url}/chat", id=f"m{number}", topic=topic, votes=number + 2)
    body = json.dumps({"sql": "FROM chat", "min_seq": 3}).encode()
    urlopen(Request(f"{hub.url}/sql", body, {"X-User": "ann"}), timeout=30).close()
    found = re.search(r'"port": (\d+), "event": "flight_listening"', hub.stderr())
    assert found is not None
    (example,) = blocks("python")
    claims = {"sub": "ann", "exp": int(time.time()) + 36_000}
    names: dict[str, Any] = {"token": jwt.encode(claims, secret, "HS256")}
    exec(example.replace("8815", found[1]), names)  # of our own page
    assert names["table"].to_pylist() == [{"topic": "Help", "n": 1}, {"topic": "News", "n": 1}]
    assert list(names["frame"]["id"]) == names["same"]["id"].to_list() == ["m0", "m1", "m2"]
    assert names["tables"]["catalog_name"].to_pylist() == ["sql"]
    assert names["columns"].names == list(names["frame"].columns)
