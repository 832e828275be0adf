"""The first steps with an installed package: `eventhub demo` and `eventhub init`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import Browser, expect

from tests.e2e.command import post, refused, run
from tests.e2e.hub import DEADLINE_SECONDS, READY, HubFactory
from tests.waiting import until

START = Path(__file__).parents[3] / "docs" / "examples" / "start"


def init(folder: Path) -> None:
    done = run("init", folder)
    assert (done.returncode, done.stderr) == (0, "")


@contextmanager
def demo(folder: Path, *flags: str, **environment: str) -> Iterator[tuple[str, str]]:
    """Run `eventhub demo` in a folder; yield its URL, and what it has printed by then."""
    output = folder / "output.txt"
    with output.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "eventhub", "demo", "--port", "0", *flags],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **environment},
        )
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while "Open it" not in (text := output.read_text()):
            assert process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.02)
        found = READY.search(text)
        assert found
        yield found[1], text
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0, output.read_text()


def bodies(url: str) -> list[str]:
    with urlopen(f"{url}/messages", timeout=DEADLINE_SECONDS) as answer:
        return [row["body"] for row in json.load(answer)]


def test_the_demo_keeps_files_and_messages_in_a_folder_of_the_user(tmp_path: Path) -> None:
    with demo(tmp_path) as (url, text):
        assert "eventhub-demo/" in text
        post(f"{url}/messages", room="lobby", name="Ann", body="Hello")
    page = tmp_path / "eventhub-demo" / "page" / "index.html"
    page.write_text("<p>My own</p>")
    with demo(tmp_path) as (url, _):
        assert bodies(url) == ["Hello"]
        with urlopen(f"{url}/", timeout=DEADLINE_SECONDS) as answer:
            assert answer.read() == b"<p>My own</p>"


def test_the_demo_opens_a_browser_only_if_asked(tmp_path: Path) -> None:
    opened = tmp_path / "opened.txt"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    browser.chmod(0o700)
    with demo(tmp_path, BROWSER=str(browser)) as (url, _):
        bodies(url)
        assert not opened.exists()
    with demo(tmp_path, "--open", BROWSER=str(browser)) as (url, _):
        until(lambda: opened.exists() and opened.read_text())
        assert opened.read_text() == f"{url}\n"


def test_the_demo_leaves_a_folder_of_something_else_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("x")
    assert "is not empty" in refused(2, run("demo", tmp_path))
    assert os.listdir(tmp_path) == ["letter.txt"]


def test_init_replaces_nothing_and_names_the_next_command(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    done = run("init", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"next: eventhub serve {folder}/eventhub.yaml\n" in done.stdout
    (folder / "eventhub.yaml").unlink()
    (folder / "page" / "index.html").write_text("mine")
    assert "page/index.html exists already" in refused(2, run("init", folder))
    assert not (folder / "eventhub.yaml").exists()
    assert (folder / "page" / "index.html").read_text() == "mine"


def test_each_option_of_the_file_that_init_writes_is_right(tmp_path: Path) -> None:
    text = (START / "eventhub.yaml").read_text()
    assert text.count("\n#-") >= 5
    (tmp_path / "page").mkdir()
    (tmp_path / "eventhub.yaml").write_text(text.replace("\n#-", "\n"))
    done = run("check", "--strict", tmp_path / "eventhub.yaml")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_that_init_writes_shows_what_others_send_also_after_a_restart(
    tmp_path: Path, hub_factory: HubFactory, browser: Browser
) -> None:
    init(tmp_path / "new")
    hub = hub_factory(tmp_path / "new" / "eventhub.yaml")
    ann, bo = browser.new_page(), browser.new_page()
    for page in (ann, bo):
        page.goto(hub.url)
        expect(page.get_by_role("status")).to_have_text("connected")
    ann.get_by_label("Message").fill("Is anybody there?")
    ann.get_by_role("button").click()
    for page in (ann, bo):
        expect(page.get_by_role("listitem")).to_have_text(["Is anybody there?"])
    hub.stop()
    expect(bo.get_by_role("status")).to_have_text("reconnecting")
    hub.start()
    post(f"{hub.url}/messages", topic="Help", body="I am.")
    post(f"{hub.url}/messages", topic="Lunch", body="Pizza?")
    for page in (ann, bo):
        expect(page.get_by_role("listitem")).to_have_text(
            ["Is anybody there?", "I am."], timeout=25_000
        )
        page.close()
