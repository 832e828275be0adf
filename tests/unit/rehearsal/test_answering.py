"""Rehearsals of a running hub: what they answer, one at a time, and within limits."""

import asyncio
from pathlib import Path

import pytest

from eventhub.channel import endpoints_of
from eventhub.errors import Unavailable
from eventhub.memory import MemoryLog
from eventhub.rehearsal import answering
from eventhub.rehearsal.answering import MAX_VALUE, Answering
from tests.unit.rehearsal.builders import config, event, log_of


async def test_an_answer_has_groups_with_examples_and_what_was_not_taken(tmp_path: Path) -> None:
    served = config(tmp_path, "served")
    columns = {"body": "TEXT", "n": "TEXT"}
    other = config(tmp_path, "other", columns=columns, prepare="msg.clear()")
    [endpoint] = endpoints_of(served)
    log = await log_of(served, event(endpoint, "a", n=1), event(endpoint, "b"))
    assert await Answering(log, lambda: served).rehearse(other, 1000) == {
        "events": 2,
        "skipped": 0,
        "refused_by_both": 0,
        "complete": True,
        "count": 1,
        "more": 0,
        "differences": [
            {
                "kind": "converted",
                "endpoint": "notes",
                "what": "n",
                "count": 1,
                "examples": [
                    {
                        "table": "notes",
                        "sequence": 1,
                        "time": "2026-11-23T10:00:00.000000Z",
                        "id": "a",
                        "method": "POST",
                        "before": 1,
                        "after": "1",
                    }
                ],
            }
        ],
        "not_rehearsed": [],
        "not_taken": ["/notes: prepare"],
    }


async def test_long_values_are_cut(tmp_path: Path) -> None:
    alert = {"to": "ann@example.org", "subject": "x" * 10_000, "body": "new"}
    served, other = config(tmp_path, "served"), config(tmp_path, "other", alert=alert)
    [endpoint] = endpoints_of(served)
    log = await log_of(served, event(endpoint, "a"))
    answer = await Answering(log, lambda: served).rehearse(other, 1000)
    [group] = answer["differences"]
    assert (group["kind"], group["what"]) == ("mailed", "ann@example.org")
    [example] = group["examples"]
    assert len(example["after"]) == MAX_VALUE + 1


async def test_only_one_text_is_rehearsed_at_a_time(tmp_path: Path) -> None:
    served = config(tmp_path, "served")
    answers = Answering(MemoryLog(), lambda: served)
    first = asyncio.ensure_future(answers.rehearse(served, 10))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="another text is being rehearsed"):
        await answers.rehearse(served, 10)
    assert (await first)["events"] == 0


async def test_a_rehearsal_that_takes_too_long_ends_with_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "SECONDS", 0)
    served = config(tmp_path, "served")
    [endpoint] = endpoints_of(served)
    log = await log_of(served, *(event(endpoint, f"r{n}") for n in range(50)))
    answer = await Answering(log, lambda: served).rehearse(served, 1000)
    assert not answer["complete"]
    assert answer["events"] < 50
