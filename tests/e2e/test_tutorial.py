"""The tutorial works as printed: each file is written, each command run, each output compared."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Dialog, expect

from tests.ports import free_port
from tests.waiting import until

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
DEADLINE_SECONDS = 40.0
PORTS = ("8080", "1025")
"""As the page has them; each becomes a free one."""
_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """One fenced block."""

    language: str
    note: str
    """A file's name, or what to do with commands; not seen by a reader of the page."""
    text: str


class Terminal:
    """A command that stays running, and what it has printed."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self.command = command
        self._out = folder / f"terminal-{time.monotonic_ns()}.txt"
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment,
                start_new_session=True,
            )
        self._seen = 0

    def shows(self, expected: list[str]) -> None:
        """Wait until the lines are printed, in this order, after those that were seen before."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (found := self._position_after(expected)) is None:
            assert self.process.poll() is None, self._lines()
            if time.monotonic() > deadline:
                pytest.fail(f"{self.command}: no {expected} in\n" + "\n".join(self._lines()))
            time.sleep(0.02)
        self._seen = found

    def interrupt(self) -> None:
        """Press Ctrl+C, and wait for the end."""
        os.kill(self.process.pid, signal.SIGINT)
        self.process.wait(DEADLINE_SECONDS)

    def end(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(DEADLINE_SECONDS)

    def _lines(self) -> list[str]:
        return [shown(line) for line in self._out.read_text(errors="replace").splitlines()]

    def _position_after(self, expected: list[str]) -> int | None:
        lines, position = self._lines(), self._seen
        for line in expected:
            if line not in lines[position:]:
                return None
            position = lines.index(line, position) + 1
        return position


class Reader:
    """A reader who follows the tutorial in an empty folder, from top to bottom."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.terminals: list[Terminal] = []
        self._ports = {port: str(free_port()) for port in PORTS}
        scripts = Path(sys.executable).parent
        path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
        self._environment = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
        self._output: list[str] = []

    def follow(self, blocks: list[Block]) -> None:
        """Do what each block says."""
        for language, note, text in blocks:
            text = self.ported(text)
            match language, note:
                case "sh", "not run by the test":
                    pass
                case "sh", "stays running":
                    self._open(text.strip())
                case "sh", _:
                    self._run(text, fails=note == "fails")
                case "text", "":
                    self._compare(text.splitlines())
                case "text", command:
                    self.terminal(f"eventhub {command} ", f"python -m {command} ").shows(
                        text.splitlines()
                    )
                case _, name:
                    assert name, f"a block of {language} without a file's name"
                    (self.folder / name).parent.mkdir(exist_ok=True)
                    (self.folder / name).write_text(text)

    def terminal(self, *commands: str) -> Terminal:
        """Return the newest terminal in which one of these commands was typed."""
        for terminal in reversed(self.terminals):
            if terminal.command.startswith(commands):
                return terminal
        raise LookupError(commands)

    def ported(self, text: str) -> str:
        """Return a text with free ports."""
        for port, free in self._ports.items():
            text = text.replace(f":{port}", f":{free}").replace(f"port: {port}", f"port: {free}")
        return text.replace("eventhub serve eventhub.yaml", self._serve)

    @property
    def _serve(self) -> str:
        return f"eventhub serve eventhub.yaml --port {self._ports['8080']}"

    def _open(self, command: str) -> None:
        """Type a command; one that runs already is interrupted first, as the tutorial says."""
        for terminal in self.terminals:
            if terminal.command == command and terminal.process.poll() is None:
                terminal.interrupt()
        terminal = Terminal(command, self.folder, self._environment)
        self.terminals.append(terminal)
        self._output = []
        if command == self._serve:
            terminal.shows([f"EventHub ready on http://127.0.0.1:{self._ports['8080']}"])
            self._output = [f"EventHub ready on http://127.0.0.1:{self._ports['8080']}"]
        elif "aiosmtpd" in command:
            until(lambda: is_listening(self._ports["1025"]))
        elif "tail" in command:  # what is written before it connects arrives as a row
            until(lambda: connections(self._ports["8080"]) > 0)

    def _run(self, commands: str, *, fails: bool) -> None:
        done = subprocess.run(
            ["bash", "-ec", commands],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode != 0) == fails, done
        self._output = [shown(line) for line in (done.stdout + done.stderr).splitlines()]

    def _compare(self, expected: list[str]) -> None:
        assert self._output == expected


def shown(line: str) -> str:
    """Return a line as the page prints it: without the time of day."""
    return re.sub(r'("timestamp"|"_time"):"[^"]+"', r'\1:"…"', line.rstrip())


def blocks() -> list[Block]:
    """Return the fenced blocks of the page, in order."""
    found_blocks = []
    for found in _FENCE.finditer(PAGE.read_text("utf-8")):
        language, _, note = found["info"].partition(" ")
        found_blocks.append(Block(language, note, found["text"]))
    return found_blocks


def is_listening(port: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(port))) == 0


def connections(port: str) -> float:
    """Return how many clients the hub serves."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        metrics = answer.read().decode()
    return sum(map(float, re.findall(r"^eventhub_connections\{.*\} (\S+)$", metrics, re.MULTILINE)))


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    for terminal in reader.terminals:
        terminal.end()


@pytest.mark.timeout(180)
def test_the_tutorial_works_as_printed(reader: Reader) -> None:
    reader.follow(blocks())


@pytest.mark.timeout(180)
def test_the_tutorials_page_sends_edits_deletes_and_shows_refusals(
    reader: Reader, browser: Browser
) -> None:
    """Everything but the mail and the history, then the page in two windows."""
    given = blocks()
    mail = next(i for i, block in enumerate(given) if "aiosmtpd -n" in block.text)
    reader.follow(given[:mail])
    url = reader.ported("http://127.0.0.1:8080/")
    one, other = browser.new_page(), browser.new_page()
    try:
        for page in (one, other):
            page.goto(url)
            expect(page.locator("#list li")).to_have_text(["Pizza?"])
        one.fill("input[name=body]", "Hello")
        one.click("button")
        for page in (one, other):
            expect(page.locator("#list li")).to_have_text(["Pizza?", "Hello"])

        def answer(dialog: Dialog) -> None:
            dialog.accept("Hello, all" if dialog.default_value == "Hello" else "")

        other.on("dialog", answer)
        other.click("text=Hello")
        expect(one.locator("#list li")).to_have_text(["Pizza?", "Hello, all"])
        other.click("text=Pizza?")
        expect(one.locator("#list li")).to_have_text(["Hello, all"])
        one.fill("input[name=body]", " ")
        one.click("button")
        expect(one.locator("#problem")).to_have_text("The message is empty.")
    finally:
        one.close()
        other.close()
