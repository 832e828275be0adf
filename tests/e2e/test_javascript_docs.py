"""The code of docs/javascript.md, and the README's page, work as printed, in Chromium."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.command import post
from tests.e2e.hub import Hub, running_hub
from tests.e2e.javascript import INDEX, ask

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "javascript.md").read_text("utf-8")
SNIPPETS = dict(re.findall(r"^```js (\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
CONFIG = """
url:
  messages: {pattern: /messages, handler: MessageHandler, kwargs:
    {columns: {topic: TEXT, body: TEXT}, send: true, presence: true}}
  page: {pattern: /(.*), handler: FileHandler, kwargs: {path: $YAMLPATH/page}}
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    files = {"page/index.html": INDEX, "page/token": ""}
    with running_hub(tmp_path, CONFIG, files) as hub:
        post(f"{hub.url}/messages", topic="Help", body="past", id="past")
        yield hub


@pytest.fixture
def page(browser: Browser, hub: Hub) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(hub.url)
    page.wait_for_function("window.hub !== undefined")
    ask(page, "window.shown_ = []; window.show = (what) => shown_.push(what)")
    yield page
    context.close()


def run(page: Page, name: str, more: str) -> Any:
    return ask(page, SNIPPETS.pop(name) + more)


def test_each_snippet_does_what_the_page_says(page: Page) -> None:
    live = run(page, "rows", "; await until(() => shown_.length); rows.close(); return shown_[0]")
    assert live == ["past"]
    assert run(page, "writes", "; return [id.length > 9, shown_.at(-1)[0]]") == [True, "not_found"]
    written = SNIPPETS.pop("changes")
    ask(page, f"shown_.length = 0; window.reading = (async () => {{ {written} }})()")
    bodies = ask(
        page, "await until(() => shown_.length >= 3); return shown_.map((each) => each[2])"
    )
    assert bodies == ["past", "Hello", "Hello, all"]
    assert ask(page, "return localStorage.position").endswith(".3")
    past = run(page, "log", "; return shown_.slice(-3)")
    assert past[1:] == [
        [True, "POST", past[2][2], "Hello", None],
        [True, "PUT", past[2][2], "Hello, all", "Hello"],
    ]
    kept = SNIPPETS.pop("outbox").replace(
        "import { persist } from", "const { persist } = await import("
    )
    kept = kept.replace('outbox.js"', 'outbox.js")', 1)
    assert ask(page, kept + "; return [shown_.at(-1), (await receipt).duplicate]") == [
        "waiting",
        False,
    ]
    heard = SNIPPETS.pop("ephemeral").replace(
        "import { presence, sent } from", "const { presence, sent } = await import("
    )
    heard = heard.replace('ephemeral.js"', 'ephemeral.js")', 1)
    ask(page, f"shown_.length = 0; {heard}")
    typed = "shown_.some(([user, typing]) => user === null && typing === true)"
    there = "shown_.some(([users, connections]) => users === 0 && connections === 1)"
    ask(page, f"await until(() => {typed} && {there})")
    assert run(page, "tokens", '; return (await hub.post("messages", {id: "t"})).id') == "t"
    assert SNIPPETS == {}, "code that nothing runs"


def test_the_readme_leads_from_an_empty_folder_to_live_filtered_rows_in_twelve_lines(
    tmp_path: Path, browser: Browser
) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    _, _, first = readme.partition("## Your first message\n")
    blocks = re.findall(r"^```(?:sh|html)\n(.*?)^```$", first, re.MULTILINE | re.DOTALL)
    commands, html, shell = blocks[:3]
    assert len(html.splitlines()) <= 12
    assert [line.split("#")[0].strip() for line in commands.splitlines()] == [
        "eventhub init",
        "eventhub serve eventhub.yaml",
    ]
    folder = tmp_path / "empty"
    folder.mkdir()
    run_shell("eventhub init", folder)
    (folder / "page" / "index.html").write_text(html)
    hub = Hub(folder / "eventhub.yaml", folder, [])
    hub.start()
    page = browser.new_page()
    try:
        page.goto(hub.url)
        expect(page.get_by_role("listitem")).to_have_text(["Hello"])
        write = shell.splitlines()[0].replace("http://127.0.0.1:8080", hub.url)
        run_shell(write.replace("topic=Help", "topic=Other"), folder)
        run_shell(write, folder)
        expect(page.get_by_role("listitem")).to_have_text(["Hello", "from the shell"])
    finally:
        page.close()
        hub.kill()


def run_shell(line: str, folder: Path) -> None:
    """Run a line of the README, in which `eventhub` is the one under test."""
    command = re.sub("^eventhub", f"{sys.executable} -m eventhub", line)
    subprocess.run(command, shell=True, cwd=folder, check=True, timeout=30, capture_output=True)
