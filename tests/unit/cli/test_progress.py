"""Progress is shown on a terminal, and never in a file."""

import io
import time

import pytest

from eventhub.cli import progress
from eventhub.cli.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(output: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sys.stderr", output)
    with progress_bar("rebuild notes") as move:
        for reached in range(100):
            move(reached, 100)
    return output.getvalue()


def test_a_terminal_shows_how_far_the_work_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0.0)
    output = Terminal()
    monkeypatch.setattr("sys.stderr", output)
    give_up = time.monotonic() + 10
    with progress_bar("rebuild notes") as move:
        while "rebuild notes:  40%" not in output.getvalue():  # the bar is drawn now and then
            assert time.monotonic() < give_up
            move(40, 100)


def test_work_that_is_short_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "rebuild" not in shown(Terminal(), monkeypatch)


def test_a_file_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0.0)
    assert shown(io.StringIO(), monkeypatch) == ""
