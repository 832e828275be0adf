"""What operators ask about alerts has an end, however many events and dead letters there are."""

from pathlib import Path

import pytest

from eventhub.alert_control import MAX_LETTERS, AlertControl
from eventhub.alerts import control
from eventhub.alerts.control import Control
from eventhub.alerts.dead_letters import DeadLetter, DeadLetters
from eventhub.channel import endpoints_of
from eventhub.memory import MemoryLog
from tests.unit.alerts.test_control import config
from tests.unit.rehearsal.builders import event


async def test_a_back_test_reads_the_newest_events_and_lists_some_mails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_EVENTS", 20)
    monkeypatch.setattr(control, "MAX_MAILS", 5)
    loaded, log = config(tmp_path), MemoryLog()
    notes, _ = endpoints_of(loaded)
    stream = await log.open(notes.channel)
    for n in range(30):
        await stream.append(event(notes, f"r{n}", body="ann", n=n), expect=0)
    asked: AlertControl = Control(log, lambda: loaded)
    found = await asked.backtest("notes", 30, None, None)
    assert (found["events"], found["count"], found["complete"]) == (20, 20, False)
    assert [each["row"] for each in found["mails"]] == ["r10", "r11", "r12", "r13", "r14"]


async def test_no_more_dead_letters_are_listed_than_fit_an_answer(tmp_path: Path) -> None:
    loaded, log = config(tmp_path), MemoryLog()
    letters = await DeadLetters.open(log)
    for sequence in range(1, MAX_LETTERS + 3):
        await letters.keep(
            DeadLetter(
                channel="notes",
                endpoint="notes",
                epoch="e",
                sequence=sequence,
                reason="554 no",
                attempts=1,
                died_at="2026-11-23T10:00:00+00:00",
                to=[],
                subject="",
                recipients=None,
            )
        )
    found = await Control(log, lambda: loaded).overview()
    assert (len(found["dead"]), found["dead_count"]) == (MAX_LETTERS, MAX_LETTERS + 2)
    assert found["dead"][0]["sequence"] == MAX_LETTERS + 2
