"""Clients cannot fill the log: the first lines of each are written, then their number."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from eventhub import logs as log
from eventhub.logs import FIRST, MAX_CAUSES, MAX_COUNTS, MOST, WINDOW_SECONDS, Limited


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as captured:
        yield captured


def test_the_first_lines_of_a_cause_are_written_and_the_others_counted(
    clock: Clock, lines: list[Any]
) -> None:
    limited = Limited(clock)
    for number in range(200):
        limited.warning("login_failed", by="10.0.0.1", reason="expired", number=number)
    assert [line["number"] for line in lines] == list(range(FIRST))
    clock.now = WINDOW_SECONDS
    limited.warning("login_failed", by="10.0.0.1", reason="expired", number="next")
    [count, line] = lines[FIRST:]
    assert (count["left_out"], count["by"], count["reason"]) == (200 - FIRST, "10.0.0.1", "expired")
    assert (count["event"], count["seconds"]) == ("login_failed", WINDOW_SECONDS)
    assert line["number"] == "next"


def test_one_cause_hides_no_other(clock: Clock, lines: list[Any]) -> None:
    limited = Limited(clock)
    for _ in range(200):
        limited.warning("login_failed", by="10.0.0.1", reason="expired")
    limited.warning("login_failed", by="10.0.0.1", reason="forged")
    limited.warning("login_failed", by="10.0.0.2", reason="expired")
    limited.warning("cookie_refused", by="10.0.0.1")
    assert len(lines) == FIRST + 3


def test_many_causes_cost_bounded_lines_and_memory(clock: Clock, lines: list[Any]) -> None:
    limited = Limited(clock)
    total = 20 * MAX_CAUSES
    for number in range(total):
        limited.warning("login_failed", by=f"10.0.{number // 256}.{number % 256}")
    assert len(lines) == MOST
    limited.flush()
    counts = lines[MOST:]
    assert len(counts) <= MAX_COUNTS + 1
    assert MOST + sum(line["left_out"] for line in counts) == total
    assert len(limited._windows) == 0


async def test_the_count_is_logged_without_another_line(
    monkeypatch: pytest.MonkeyPatch, lines: list[Any]
) -> None:
    monkeypatch.setattr(log, "WINDOW_SECONDS", 0.02)
    limited = Limited()
    for _ in range(FIRST + 1):
        limited.warning("login_failed", by="10.0.0.1")
    async with asyncio.timeout(40):
        while len(lines) == FIRST:
            await asyncio.sleep(0.01)
    assert lines[FIRST]["left_out"] == 1


def test_counts_are_logged_once(clock: Clock, lines: list[Any]) -> None:
    limited = Limited(clock)
    for _ in range(FIRST + 1):
        limited.warning("login_failed", by="10.0.0.1")
    limited.flush()
    limited.flush()
    assert len(lines) == FIRST + 1
