"""The code of docs/python.md works as printed."""

import re
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

import eventhub_client
from eventhub_client import AsyncHub, Change, Hub
from tests.e2e.eventhub_client.conftest import get
from tests.e2e.hub import Hub as Server
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("eventhub_client")
TEXT = (Path(__file__).parents[3] / "docs" / "python.md").read_text("utf-8")
SNIPPETS = dict(re.findall(r"^```python (\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))


@pytest.fixture
def run(server: Server, path: str) -> Any:
    """Return what runs a snippet against a path of this test; it returns the names."""
    shown: list[tuple[Any, ...]] = []

    def run(name: str) -> dict[str, Any]:
        code = SNIPPETS[name].replace('"messages"', f'"{path}"')
        code = code.replace("http://127.0.0.1:8080", server.url)
        with Hub(server.url) as hub:
            names: dict[str, Any] = {**vars(eventhub_client), "httpx": httpx, "hub": hub}
            names["show"] = lambda *values: shown.append(values)
            exec(code, names)
        return {**names, "shown": shown}

    return run


def test_each_snippet_does_what_the_page_says(run: Any, server: Server, path: str) -> None:
    assert run("writes")["shown"].pop() == ("not_found", "no row with id 'nope'")
    assert run("rows")["shown"].pop() == (["Hello, all"],)
    run("log")
    events = run("log")["shown"]
    assert [(each[0], each[2], each[-1]) for each in events[:2]] == [
        (1, "POST", None),
        (2, "PUT", {"body": "Hello"}),
    ]
    with Hub(server.url) as hub:
        hub.delete(path, "m1")
    assert run("changes")["shown"].pop()[:2] == ("DELETE", "m1")
    assert run("bulk")["stored"] == 5000
    tables = run("frames")
    assert len(tables["table"]) == 5000
    assert tables["frame"].height == 100
    assert list(tables["past"]["body"]) == ["Hello, all"]


def test_the_snippets_of_what_is_not_stored(run: Any, server: Server, path: str) -> None:
    run("ephemeral")
    with ThreadPoolExecutor(1) as pool, Hub(server.url) as hub:
        reading = pool.submit(run, "sent")
        while not reading.done():  # it has connected some time after it was asked
            hub.send(path, {"topic": "Help", "typing": True})
    assert reading.result()["shown"] == [(None, True)]
    assert get(server, path) == []


async def test_the_snippet_with_an_event_loop(run: Any, server: Server, path: str) -> None:
    change, ids = await run("async")["follow"](server.url)
    assert isinstance(change, Change)
    assert ids == [row["id"] for row in get(server, path)]


def test_the_snippet_with_a_token(run: Any) -> None:
    run("tokens")["hub"].close()


def test_the_bot_answers_and_goes_on_after_a_kill(
    server: Server, path: str, tmp_path: Path
) -> None:
    code = SNIPPETS["bot"].replace('"messages"', f'"{path}"')
    program = tmp_path / "bot.py"
    program.write_text(code.replace("http://127.0.0.1:8080", server.url))
    assert len(textwrap.dedent(code).strip().splitlines()) <= 10
    for question in ("first", "second"):
        bot = subprocess.Popen([sys.executable, program], cwd=tmp_path)
        try:
            until(lambda: (tmp_path / "bot.checkpoint").exists())
            ask(server, path, question)
            until(partial(has, server, path, f"answer to {question}"))
        finally:
            bot.kill()
            bot.wait(20)
        ask(server, path, f"after {question}")
    bodies = [row["body"] for row in get(server, path)]
    assert bodies.count("Good question!") == 3


def ask(server: Server, path: str, question: str) -> None:
    with Hub(server.url) as hub:
        hub.post(path, {"id": question, "topic": "Help", "body": "Why?"})


def has(server: Server, path: str, row_id: str) -> bool:
    return any(row["id"] == row_id for row in get(server, path))


def test_every_snippet_is_run() -> None:
    tried = Path(__file__).read_text("utf-8")
    assert [name for name in SNIPPETS if f'"{name}"' not in tried] == []


def test_the_errors_of_the_page_are_those_of_the_package() -> None:
    names = {name for name in eventhub_client.__all__ if name.endswith("Error")}
    assert set(re.findall(r"`(\w+Error)`", TEXT)) - {"OSError", "TimeoutError"} == names
    assert AsyncHub.__name__ in TEXT
