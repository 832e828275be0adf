"""On a terminal a hub logs short lines, and of a failed hook the line in the file."""

import os
import pty
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

CONFIG = """
url:
  chat:
    pattern: /chat
    handler: MessageHandler
    kwargs:
      prepare: |
        my_rules.check(
          msg['votes'] / 0)
"""


class Terminal:
    """A hub on a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        (folder / "my_rules.py").write_text("def check(value): pass\n")
        (folder / "hub.yaml").write_text(CONFIG)
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            program = [sys.executable, "-m", "eventhub", "serve", "hub.yaml", "--port", "0"]
            os.execv(sys.executable, program)
        self.output = ""

    def until(self, text: str) -> str:
        """Return what the terminal shows, without colours, once it shows a text."""
        while text not in self.output:
            self.output += os.read(self._terminal, 4096).decode()
            self.output = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.output).replace("\r", "")
        return self.output

    def close(self) -> int:
        """Close the terminal, as a user closes its window; return the exit status."""
        os.close(self._terminal)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A hub whose hook fails."""
    made = Terminal(tmp_path)
    yield made
    try:
        os.kill(made.pid, signal.SIGKILL)
        os.waitpid(made.pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def test_a_failed_hook_shows_its_line_in_the_file_and_nothing_of_the_hub(
    terminal: Terminal,
) -> None:
    found = re.search(r"ready on (\S+)", terminal.until("EventHub ready on") + terminal.until("\n"))
    assert found
    headers = {"Content-Type": "application/json"}
    with pytest.raises(HTTPError, match="500"):
        urlopen(Request(f"{found[1]}/chat", b'{"votes": 1}', headers))
    shown = terminal.until("ZeroDivisionError: division by zero")
    assert 'File "hub.yaml", line 9, in expression' in shown
    assert "msg['votes'] / 0)" in shown
    assert "eventhub/" not in shown.partition("hook_failed")[2]
    lines = [line for line in shown.splitlines() if "projection_opened" in line]
    assert re.fullmatch(r"\d\d:\d\d:\d\d \[info\] projection_opened .*", lines[0])


def test_a_hub_whose_terminal_is_closed_stops(terminal: Terminal) -> None:
    terminal.until("EventHub ready on")
    assert terminal.close() == 0
